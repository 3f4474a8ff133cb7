"""Verbs that show runs: ``list``, ``show``, ``transcript``, ``result``."""

import time
from typing import TYPE_CHECKING, get_args

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import ago, between, emit, look, note, note_more, seconds, table
from greenroom.cli.exit_codes import WAITING
from greenroom.cli.inputs import Number
from greenroom.cli.settings import Settings
from greenroom.messages.advice import go_on, resume_all
from greenroom.messages.records.records import RunStatus

if TYPE_CHECKING:
    from greenroom.messages.records.records import ActorRecord, RunRecord

TREE_TIMEOUT = 2.0
"""Longest wait for an orchestrator's answer on what its workers do, in seconds."""
POLL = 0.1
"""Seconds between two polls of a journal that another process writes."""


@click.command("list")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs of this status.")
@click.option("--name", metavar="WORKFLOW", help="Only runs of this workflow.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@click.option("--cursor", metavar="CURSOR", help="Continue a list: the cursor that its end named.")
@common
@pass_settings
def list_runs(settings: Settings, status: RunStatus | None, name: str | None, limit: int, cursor: str | None) -> None:
    """List the newest runs. If there are more, stderr says how to continue."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.messages.records.pages import Page

    found: Page[RunRecord] = Page()
    try:
        with look(settings.home) as reads:
            found = reads.runs(status, name, limit, cursor)
    except RunNotFound as error:  # no journal yet: an empty list is the answer, and how to fill it the hint
        note(str(error))
    note_more(found)
    shown = _with_waits(settings, found)
    if settings.json:
        emit(shown)
        return
    rows = [
        (
            run.id,
            run.workflow,
            run.status,
            ago(run.started_at),
            seconds(between(run.started_at, run.ended_at)),
            run.reason,
        )
        for run in shown
    ]
    table(("run", "workflow", "status", "age", "duration", "reason"), rows)
    _say_unhosted(settings, found)


def _say_unhosted(settings: Settings, found: "list[RunRecord]") -> None:
    """Print a note that runs do not continue because no orchestrator is running, and how to start one."""
    from greenroom.workflows.control.access import contact

    idle = [run.id for run in found if run.status in {"pending", "running", "waiting"}]
    if not idle or contact.is_open(settings.home):
        return
    if len(idle) == 1:
        note(f"run {idle[0]} has not ended, and no orchestrator has it: {go_on(idle[0])} goes on with it")
    else:
        note(f"{len(idle)} runs have not ended, and no orchestrator has them: with {resume_all()} they go on")


@click.command()
@click.argument("run_id", metavar="ID")
@common
@pass_settings
def show(settings: Settings, run_id: str) -> None:
    """Show a run: its input, what it waits for, every attempt of its steps, what people decided, its result."""
    from greenroom.cli.display.run_page import show_run
    from greenroom.workflows.home.held_calls import read_held_calls
    from greenroom.workflows.queries.records.run_records import step_records
    from greenroom.workflows.queries.waiting_for import waits_for

    with look(settings.home) as reads:
        run, state = reads.run(run_id), reads.fold(run_id)
        asked, decided = reads.approvals(run_id), reads.decisions(run_id)
    (run,) = _with_waits(settings, [run])
    steps, waits = step_records(state), waits_for(state, time.time(), read_held_calls(settings.home.path))
    if settings.json:
        emit(
            {
                **run.model_dump(mode="json"),
                "input": state.arguments,
                "state": state.shared,
                "result": state.result,
                "waits_for": waits,
                "steps": steps,
                "approvals": asked,
                "decisions": decided,
            }
        )
    else:
        show_run(run, state, steps, waits, asked, decided)
        _say_unhosted(settings, [run])


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@common
@pass_settings
def transcript(settings: Settings, run_id: str, step: str | None) -> None:
    """Print what an agent and its model have said to each other, up to the newest call of the model.

    STEP is the key of an earlier call, or of an agent.
    """
    from greenroom.cli.display.transcript import show_transcript

    with look(settings.home) as reads:
        show_transcript(settings, reads.transcript(run_id, step), run_id)


def _with_waits(settings: Settings, runs: "list[RunRecord]") -> "list[RunRecord]":
    """Add to unfinished runs what the journal does not hold: that they wait for an import, or for workers."""
    from greenroom.messages.commands import ShowTree, Tree
    from greenroom.messages.core.errors import GreenroomError
    from greenroom.messages.records.records import AT_WORK
    from greenroom.workflows.control.access.control_socket import ask

    if not any(run.status in AT_WORK and run.reason is None for run in runs):
        return runs
    try:
        reply = ask(settings.home, ShowTree(), TREE_TIMEOUT)
    except GreenroomError:  # without an orchestrator nothing is imported; one that does not answer must not delay us
        return runs
    apps = reply.root.children if isinstance(reply, Tree) else ()
    waits = {app.id: why for app in apps if (why := _hold_up(app))}
    return [
        run.model_copy(update={"reason": waits[run.app]})
        if run.status in AT_WORK and run.reason is None and run.app in waits
        else run
        for run in runs
    ]


def _hold_up(app: "ActorRecord") -> str:
    """Return what holds up the runs of an app, a slow import or a pool without workers; empty for nothing."""
    if app.detail.startswith("waits "):
        return app.detail
    return next((pool.detail for pool in app.children if pool.status == "short"), "")


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--timeout", type=Number(min=0), default=0.0, metavar="S", help="Seconds to wait for the end.")
@common
@pass_settings
def result(settings: Settings, run_id: str, timeout: float) -> int:
    """Print the result of a run as JSON. Exits with 1, 5 or 6 if it failed, was cancelled or waits for a person."""
    from greenroom.cli.hosting.unfinished import open_questions

    deadline = time.monotonic() + timeout
    with look(settings.home) as reads:
        while reads.run(run_id).status in {"pending", "running", "waiting", "paused"} and time.monotonic() < deadline:
            time.sleep(POLL)  # another process writes the journal, so it must be polled
        try:
            emit(reads.result(run_id))
        except TimeoutError:
            if not (asked := open_questions(settings.home, run_id)):
                raise
            note(f"run {run_id} {asked}")
            return WAITING
    return 0
