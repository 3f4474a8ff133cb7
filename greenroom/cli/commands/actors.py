"""``greenroom actors``: the supervision tree of the orchestrator that runs on this home."""

import signal as signals
from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import Verbs, common, pass_settings
from greenroom.cli.display.values import emit, note, say, size, table
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.messages.commands import Command, KillWorker, Reply, RestartWorker
    from greenroom.messages.records.records import ActorRecord


@click.group(cls=Verbs)
@common
def actors() -> None:
    """Show the processes of a running orchestrator, and send them signals."""


def _ask(settings: Settings, command: "Command") -> "Reply":
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    return check(ask(settings.home, command))


@actors.command()
@common
@pass_settings
def tree(settings: Settings) -> None:
    """Show the supervision tree with pids."""
    from greenroom.messages.commands import ShowTree, Tree

    reply = _ask(settings, ShowTree())
    assert isinstance(reply, Tree)
    if settings.json:
        emit(reply.root)
        return
    for line in _lines(reply.root, "", ""):
        say(line)


def _lines(node: "ActorRecord", lead: str, below: str) -> list[str]:
    facts = [node.id, node.status, node.strategy, f"pid {node.pid}" if node.pid else None]
    facts += [f"{node.restarts} restarts" if node.restarts else None, node.detail]
    lines = [lead + "  ".join(fact for fact in facts if fact)]
    for child in node.children:
        last = child is node.children[-1]
        lines += _lines(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))
    return lines


@actors.command("list")
@common
@pass_settings
def list_workers(settings: Settings) -> None:
    """List the worker processes."""
    from greenroom.messages.commands import ListWorkers, ShowTree, Tree, Workers
    from greenroom.metrics.figure_records import pool_figures

    reply = _ask(settings, ListWorkers())
    assert isinstance(reply, Workers)
    shown = _ask(settings, ShowTree())
    assert isinstance(shown, Tree)
    for pool in pool_figures(shown.root):
        if pool.detail:
            note(f"pool {pool.pool} is {pool.status}: {pool.detail}")
    if settings.json:
        emit(reply.workers)
        return
    columns = ("worker", "pool", "kind", "pid", "life", "status", "run", "step", "restarts", "memory")
    rows = [
        (
            one.id,
            one.pool,
            one.kind,
            one.pid,
            one.incarnation,
            one.status,
            one.run_id,
            one.step,
            one.restarts,
            size(one.rss_bytes),
        )
        for one in reply.workers
    ]
    table(columns, rows)


def _signal(_ctx: click.Context, _parameter: click.Parameter, name: str) -> int:
    plain = name.upper().removeprefix("SIG")
    if plain.isdecimal() and int(plain) in set(signals.Signals):
        return int(plain)
    try:
        return signals.Signals[f"SIG{plain}"].value
    except KeyError as error:
        msg = f"there is no signal {name!r}; say for instance KILL, TERM, STOP, SEGV or 9"
        raise click.BadParameter(msg) from error


@actors.command()
@click.argument("worker", metavar="WORKER")
@click.option("--signal", "number", default="KILL", show_default=True, callback=_signal, help="Name or number.")
@common
@pass_settings
def kill(settings: Settings, worker: str, number: int) -> None:
    """Send WORKER a signal, as an injected fault: no step is charged with it."""
    from greenroom.messages.commands import KillWorker

    _touch(settings, KillWorker(worker=worker, signal=number))
    name = signals.Signals(number).name
    if settings.json:
        emit({"worker": worker, "signal": name})
    else:
        say(f"{name} sent to {worker}")


@actors.command()
@click.argument("worker", metavar="WORKER")
@common
@pass_settings
def restart(settings: Settings, worker: str) -> None:
    """End WORKER and begin another in its place: no step is charged with it."""
    from greenroom.messages.commands import RestartWorker

    _touch(settings, RestartWorker(worker=worker))
    if settings.json:
        emit({"worker": worker, "restarted": True})
    else:
        say(f"{worker} begins again")


def _touch(settings: Settings, command: "KillWorker | RestartWorker") -> None:
    from greenroom.messages.core.errors import RunNotFound, WorkerNotFound

    try:
        _ask(settings, command)
    except RunNotFound as error:  # the refusal alone does not say what was not found
        raise WorkerNotFound(str(error)) from error
