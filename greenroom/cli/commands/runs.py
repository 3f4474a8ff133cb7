"""``greenroom runs``: reading runs from the journal, with or without an orchestrator, and controlling them."""

import difflib
import json
import time
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from greenroom.cli.command_group import Verbs, budget_of, common, pass_settings
from greenroom.cli.display.values import ago, between, emit, emit_line, look, note, say, seconds, table
from greenroom.cli.exit_codes import WAITING
from greenroom.cli.settings import Settings
from greenroom.messages.advice import go_on, resume_all
from greenroom.messages.records import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from greenroom.journal.interface import Stored
    from greenroom.messages.commands import CancelRun, PauseRun, ResumeRun
    from greenroom.messages.pages import Page
    from greenroom.messages.records import RunRecord
    from greenroom.workflows.queries.reader import JournalQueries

TREE_TIMEOUT = 2.0
"""Longest wait for an orchestrator's answer on what its workers do, in seconds."""
POLL = 0.1
"""Seconds between two polls of a journal that another process writes."""


@click.group(cls=Verbs)
@common
def runs() -> None:
    """Show runs and control them. Showing needs no running orchestrator."""


@runs.command("list")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs of this status.")
@click.option("--name", metavar="WORKFLOW", help="Only runs of this workflow.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@click.option("--cursor", metavar="CURSOR", help="Go on where a list ended that said how.")
@common
@pass_settings
def list_runs(settings: Settings, status: RunStatus | None, name: str | None, limit: int, cursor: str | None) -> None:
    """List the newest runs. If there are more, stderr says how to continue."""
    from greenroom.messages.core.errors import RunNotFound
    from greenroom.messages.pages import Page

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
    from greenroom.workflows.control import contact

    idle = [run.id for run in found if run.status in {"pending", "running", "waiting"}]
    if not idle or contact.is_open(settings.home):
        return
    if len(idle) == 1:
        note(f"run {idle[0]} has not ended, and no orchestrator has it: {go_on(idle[0])} goes on with it")
    else:
        note(f"{len(idle)} runs have not ended, and no orchestrator has them: with {resume_all()} they go on")


def note_more(page: "Page[Any]") -> None:
    """Print a note on how to get the rest of a list."""
    if page.next is not None:
        note(f"there are more: go on with --cursor {page.next}")


@runs.command()
@click.argument("run_id", metavar="ID")
@common
@pass_settings
def show(settings: Settings, run_id: str) -> None:
    """Show a run: its input, what it waits for, every attempt of its steps, what people decided, its result."""
    from greenroom.cli.display.run_page import show_run
    from greenroom.workflows.queries.records import step_records
    from greenroom.workflows.queries.waiting_for import waits_for

    with look(settings.home) as reads:
        run, state = reads.run(run_id), reads.fold(run_id)
        asked, decided = reads.approvals(run_id), reads.decisions(run_id)
    (run,) = _with_waits(settings, [run])
    steps, waits = step_records(state), waits_for(state, time.time())
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


def _with_waits(settings: Settings, runs: "list[RunRecord]") -> "list[RunRecord]":
    """Add to unfinished runs what the journal does not hold: that they wait for a slow import of their app."""
    from greenroom.messages.commands import ShowTree, Tree
    from greenroom.messages.core.errors import GreenroomError
    from greenroom.messages.records import AT_WORK
    from greenroom.workflows.control.control_socket import ask

    if not any(run.status in AT_WORK and run.reason is None for run in runs):
        return runs
    try:
        reply = ask(settings.home, ShowTree(), TREE_TIMEOUT)
    except GreenroomError:  # without an orchestrator nothing is imported; one that does not answer must not delay us
        return runs
    apps = reply.root.children if isinstance(reply, Tree) else ()
    waits = {app.id: app.detail for app in apps if app.detail.startswith("waits ")}
    return [
        run.model_copy(update={"reason": waits[run.app]})
        if run.status in AT_WORK and run.reason is None and run.app in waits
        else run
        for run in runs
    ]


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Only those after this number.")
@click.option("--follow", is_flag=True, help="Go on with what happens later, until the run has ended or is parked.")
@common
@pass_settings
def events(
    settings: Settings,
    run_id: str,
    after: int,
    follow: bool,  # noqa: FBT001  click hands flags over by name
) -> None:
    """Print the events of a run as they are in the journal; with -o json and --follow one object per line."""
    from greenroom.cli.display.run_page import show_traces
    from greenroom.messages.core.times import iso, moment
    from greenroom.metrics.event_sentences import describe

    def sentence(item: "Stored") -> str:
        return describe(run_id, run.workflow, item.event).removeprefix(f"run {run_id} ")

    with look(settings.home) as reads:
        run = reads.run(run_id)
        if follow:
            for item in _followed(reads, run_id, after):
                if settings.json:
                    emit_line({"seq": item.seq, **item.event.model_dump()})
                else:
                    say(f"{item.seq:>5}  {iso(moment(item.event.at))}  {sentence(item)}")
            return
        stored = reads.events(run_id, after)
    if settings.json:
        emit([{"seq": item.seq, **dict(item.event)} for item in stored])
        return
    table(("seq", "time", "what happened"), [(item.seq, moment(item.event.at), sentence(item)) for item in stored])
    show_traces(run)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--channel", default="default", show_default=True, help="Which of the run's streams.")
@click.option("--after", type=click.IntRange(min=0), metavar="OFFSET", help="Only values after this one.")
@click.option("--follow", is_flag=True, help="Go on with what is emitted later, until the run has ended.")
@common
@pass_settings
def stream(
    settings: Settings,
    run_id: str,
    channel: str,
    after: int | None,
    follow: bool,  # noqa: FBT001  click hands flags over by name
) -> None:
    """Print the values that a run has emitted, one JSON value per line; with -o json and --follow one object each.

    Values of a running step are printed as they come. If its attempt is lost, stderr says that they do not count. The
    whole answer of a model follows the pieces of its text.
    """
    with look(settings.home) as reads:
        show_stream(settings, reads, run_id, channel, after, follow=follow)


def show_stream(
    settings: Settings, reads: "JournalQueries", run_id: str, channel: str, after: int | None, *, follow: bool
) -> None:
    """Print the items of a channel of a run or session."""
    from greenroom.journal.event_pages import stored_events
    from greenroom.workflows.queries.records import stream_items

    events = _followed(reads, run_id) if follow else stored_events(reads, run_id)
    items = stream_items(events, channel, after)
    if settings.json and not follow:
        emit(list(items))
        return
    for item in items:
        if settings.json:
            emit_line(item)
        elif item.kind == "discarded":
            note(f"attempt {item.attempt} of {item.step} was lost: what it emitted here does not count")
        else:
            emit_line(item.value)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--step", metavar="KEY|NAME", help="Only lines of this step: one call by its key, or all by its name.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written later, until the run has ended.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@common
@pass_settings
def logs(
    settings: Settings,
    run_id: str,
    step: str | None,
    follow: bool,  # noqa: FBT001  click hands flags over by name
    tail: int | None,
    timestamps: bool,  # noqa: FBT001  the same
) -> None:
    """Print what the code of a run has written to stdout and stderr, each line after the step that it comes from.

    The first and last lines of an attempt are kept, at most 1 MiB, and the last 16 MiB of a run. With -o json the
    output is one array, and with --follow one object per line.
    """
    from greenroom.messages.core.times import iso
    from greenroom.workflows.api.waiting import follow_logs
    from greenroom.workflows.output.live_view import prefix

    with look(settings.home) as reads:
        found = reads.logs(run_id, step=step)
        if step is not None and not found and not follow:
            _check_step(reads, run_id, step)
        last = found[-1].offset if found else 0
        found = found if tail is None else found[len(found) - min(tail, len(found)) :]
        if settings.json and not follow:
            emit(found)
            return
        for line in chain(found, follow_logs(reads, run_id, last, step) if follow else ()):
            if settings.json:
                emit_line(line)
            else:
                say(f"{f'{iso(line.at)} ' if timestamps else ''}{prefix(line, runs=False)} {line.text}")


def _check_step(reads: "JournalQueries", run_id: str, step: str) -> None:
    """Refuse a step that the run does not have."""
    from greenroom.workflows.output.log_files import is_of

    keys = [each.key for each in reads.steps(run_id)]
    if not any(is_of(key, step) for key in keys):
        close = difflib.get_close_matches(step, keys, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(keys) or 'none yet'}"
        msg = f"run {run_id} has no step {step!r}; {hint}"
        raise click.BadParameter(msg, param_hint="--step")


def _followed(reads: "JournalQueries", run_id: str, after: int = 0) -> "Iterator[Stored]":
    """Yield the events of a run after a number until it is over, by polling the journal of another process."""
    from greenroom.workflows.api.waiting import is_over, poll_events

    return poll_events(reads, run_id, after, lambda: is_over(reads, run_id))


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--timeout", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Seconds to wait for the end.")
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


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", help="Why; it is kept with the run.")
@click.option(
    "--within",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Seconds after which it is ended without the rest of its cleanup; 0 is at once.",
)
@common
@pass_settings
def cancel(settings: Settings, run_id: str, reason: str | None, within: float | None) -> None:
    """Ask a run to end early. Its program cleans up first, also if the run is paused or parked."""
    from greenroom.messages.commands import CancelRun

    _steer(settings, CancelRun(run_id=run_id, reason=reason, within=within), "was asked to end")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", help="Why; it is kept with the run.")
@common
@pass_settings
def pause(settings: Settings, run_id: str, reason: str | None) -> None:
    """Pause a run and its children. Running steps may finish; no new ones start."""
    from greenroom.messages.commands import PauseRun

    _steer(settings, PauseRun(run_id=run_id, reason=reason), "is paused")


@runs.command()
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every parked run, instead of one.")
@click.option("--name", metavar="NAME", help="With --all: only runs of this workflow.")
@click.option(
    "--budget",
    "limits",
    metavar="NAME=N",
    multiple=True,
    help="A new total for usd, tokens, wall (seconds) or attempts, or unknown_price=allow; may be repeated.",
)
@common
@pass_settings
def resume(
    settings: Settings,
    run_id: str | None,
    everything: bool,  # noqa: FBT001  click hands flags over by name
    name: str | None,
    limits: tuple[str, ...],
) -> None:
    """Resume a paused or parked run, with a higher budget if it needs one; with --all every parked run.

    If no orchestrator is running on the home, one in the background hosts the run until it is done; with --all also
    every other unfinished run.
    """
    from greenroom.messages.commands import ResumeRun

    if everything == (run_id is not None):
        msg = "give the ID of one run, or --all for every run that is parked"
        raise click.UsageError(msg)
    if run_id is None:
        resume_parked(settings, "run", name)
        return
    _steer(settings, ResumeRun(run_id=run_id, budget=budget_of(limits)), "goes on", hosted=True)


@runs.command()
@click.argument("run_id", metavar="ID")
@common
@pass_settings
def retry(settings: Settings, run_id: str) -> None:
    """Retry a run that failed or was cancelled, from the step that failed. Recorded results stay."""
    from greenroom.messages.commands import RetryRun
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.control_socket import ask

    with look(settings.home) as reads:
        reads.run(run_id)
    check(ask(settings.home, RetryRun(run_id=run_id)))
    if settings.json:
        emit({"run_id": run_id, "asked": True})
    else:
        say(f"run {run_id} goes on from where it failed")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--at", metavar="KEY", help="The step where the new run goes another way; from the start without it.")
@click.option("--input", "given", metavar="JSON", help="Other arguments of that step, or of the workflow.")
@click.option("--result", metavar="JSON", help="What that step is taken to have given; it is not run.")
@click.option("--id", "new_id", metavar="ID", help="Of the new run.")
@common
@pass_settings
def fork(
    settings: Settings, run_id: str, at: str | None, given: str | None, result: str | None, new_id: str | None
) -> None:
    """Start a run that shares the history of ID up to a step, and continues differently from there."""
    from greenroom.messages.commands import Accepted, ForkRun
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.control_socket import ask

    command = ForkRun(run_id=run_id, at=at, input=_json(given, "--input"), result=_json(result, "--result"), id=new_id)
    with look(settings.home) as reads:
        reads.run(run_id)
    reply = check(ask(settings.home, command))
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"run_id": reply.run_id, "origin": run_id})
    else:
        say(f"run {reply.run_id} goes on from run {run_id}")


@runs.command()
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

    from greenroom.messages.records import ENDED
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


def _json(text: str | None, option: str) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        msg = f"it is no JSON: {error}"
        raise click.BadParameter(msg, param_hint=option) from error


@runs.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@common
@pass_settings
def diff(settings: Settings, a: str, b: str) -> None:
    """Show where the runs A and B first differ: in their arguments, or a step's arguments or result."""
    from greenroom.messages.core.json_text import plain
    from greenroom.metrics.event_sentences import shorten

    with look(settings.home) as reads:
        found = reads.difference(a, b)
    if settings.json:
        emit({"same": found is None, **(found.model_dump() if found is not None else {})})
    elif found is None:
        say(f"{a} and {b} do not differ")
    else:
        place = f"step {found.key}" if found.key is not None else "the run"
        what = "is in one of them only" if found.what == "missing" else f"has another {found.what}".rstrip("s")
        say(f"{place} {what}")
        table(("run", "has"), [(a, shorten(json.dumps(plain(found.a)))), (b, shorten(json.dumps(plain(found.b))))])


def resume_parked(settings: Settings, kind: Literal["run", "session"], name: str | None) -> None:
    """Resume everything that is parked, and list it."""
    from greenroom.cli.hosting.ownership import settle
    from greenroom.messages.commands import Resumed, ResumeParked
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.control_socket import ask

    command = ResumeParked(kind=kind, name=name)

    def tell() -> tuple[list[str], str]:
        reply = check(ask(settings.home, command))
        assert isinstance(reply, Resumed)
        return list(reply.run_ids), ""

    def live() -> tuple[list[str], str]:
        from greenroom.cli.hosting.this_process import resume_in_background

        with look(settings.home) as reads:
            unfinished = reads.runs(["pending", "running", "waiting"], name, None)
            parked = reads.runs("parked", name, 1)
        if not unfinished and not parked:
            return [], ""
        return resume_in_background(settings, command, [run.id for run in unfinished])

    run_ids, where = settle(settings, tell, live if kind == "run" else tell)
    if settings.json:
        emit({"resumed": run_ids})
        return
    for run_id in run_ids:
        say(f"{kind} {run_id} goes on")
    if not run_ids:
        say(f"no {kind} is parked")
    if where:
        note(f"{'it goes' if len(run_ids) == 1 else 'they go'} on in {where}")


def _steer(settings: Settings, command: "CancelRun | PauseRun | ResumeRun", done: str, *, hosted: bool = False) -> None:
    """Send a command about an unfinished run, and print the outcome.

    Args:
        settings: The home and the form of output.
        command: The command to send.
        done: The outcome, for a person.
        hosted: Whether to start an orchestrator in the background for a run that none hosts.
    """
    from greenroom.cli.hosting.ownership import settle
    from greenroom.cli.hosting.this_process import resume_in_background
    from greenroom.messages.records import ENDED
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.control_socket import ask

    with look(settings.home) as reads:
        status = reads.run(command.run_id).status

    def tell() -> str:
        check(ask(settings.home, command))
        return ""

    where = ""
    if status not in ENDED and hosted and "/" not in command.run_id:
        where = settle(settings, tell, lambda: resume_in_background(settings, command, [command.run_id])[1])
    elif status not in ENDED:
        tell()
    if where:
        note(f"run {command.run_id} goes on in {where}; follow it with {go_on(command.run_id)}")
    if settings.json:
        emit({"run_id": command.run_id, "status": status, "asked": status not in ENDED})
    else:
        say(f"run {command.run_id} {f'is {status} already' if status in ENDED else done}")
