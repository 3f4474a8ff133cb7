"""Verbs about runs that share a history: ``fork``, ``diff``, and ``export`` for a test."""

import json
from typing import Any

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, look, note, say, table
from greenroom.cli.inputs import read_json
from greenroom.cli.settings import Settings


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--at", metavar="KEY", help="The step from which the new run differs. Default: the start.")
@click.option("--input", "given", metavar="JSON", help="Other arguments of that step, or of the workflow.")
@click.option("--result", metavar="JSON", help="Use this as the result of that step, which is not run.")
@click.option("--id", "new_id", metavar="ID", help="Id of the new run.")
@common
@pass_settings
def fork(
    settings: Settings, run_id: str, at: str | None, given: str | None, result: str | None, new_id: str | None
) -> None:
    """Start a run that shares the history of ID up to a step, and continues differently from there."""
    from greenroom.messages.commands import Accepted, ForkRun
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    chosen = {} if result is None else {"result": read_json(result, "--result", files=False)}
    command = ForkRun(run_id=run_id, at=at, input=_input(given), id=new_id, **chosen)
    with look(settings.home) as reads:
        reads.run(run_id)
    reply = check(ask(settings.home, command))
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"run_id": reply.run_id, "origin": run_id})
    else:
        say(f"run {reply.run_id} goes on from run {run_id}")


def _input(text: str | None) -> Any:
    """Return the value of ``--input``; None if it is not given.

    Raises:
        BadParameter: It is not JSON, or it is null, which the command would take for an option that is not given.
    """
    value = None if text is None else read_json(text, "--input", files=False)
    if text is not None and value is None:
        msg = "null means that no other input is given; an argument that is null is given by name, or as in '[null]'"
        raise click.BadParameter(msg, param_hint="--input")
    return value


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--to", "file", metavar="FILE", help="Where to write it; ID.jsonl in this folder by default.")
@common
@pass_settings
def export(settings: Settings, run_id: str, file: str | None) -> None:
    """Write the recorded events of a run to a file, for a test that replays it: greenroom.testing.replay_export.

    The file holds the arguments and results of the run's calls. A run that has not ended is exported as far as it went.
    ID may be that of a session, NAME/KEY.
    """
    from pathlib import Path

    from greenroom.messages.records.records import ENDED
    from greenroom.workflows.queries.run_export import write_export

    with look(settings.home) as reads:
        if reads.journal.run(run_id) is None:
            reads.run(run_id)  # raises, with the id that may be meant
        path = Path(file or f"{run_id.replace('/', '-')}.jsonl")
        try:
            header = write_export(reads.journal, run_id, path)
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror or error}"
            raise click.BadParameter(msg, param_hint="--to") from error
    if header.kind == "run" and header.status not in ENDED:
        note(f"run {run_id} is {header.status}: it is exported as far as it went")
    if settings.json:
        emit({"run_id": run_id, "file": str(path), "events": header.events, "status": header.status})
    else:
        say(f"{path} holds the {header.events} events of {header.kind} {run_id}")


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@common
@pass_settings
def diff(settings: Settings, a: str, b: str) -> None:
    """Show where the runs A and B first differ: in their arguments, or those of a step or child run, or a result."""
    from greenroom.messages.core.json_text import plain
    from greenroom.metrics.event_sentences import shorten

    with look(settings.home) as reads:
        found = reads.difference(a, b)
    if settings.json:
        emit({"same": found is None, **(found.model_dump() if found is not None else {})})
    elif found is None:
        say(f"{a} and {b} do not differ")
    else:
        place = f"{found.kind} {found.key}" if found.key is not None else "the run"
        what = "is in one of them only" if found.what == "missing" else f"has another {found.what}".rstrip("s")
        say(f"{place} {what}")
        table(("run", "has"), [(a, shorten(json.dumps(plain(found.a)))), (b, shorten(json.dumps(plain(found.b))))])
