"""``understudy runs``: what the journal says of runs, whether or not an orchestrator is running; and steering one."""

import json
import time
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from understudy.cli.exits import WAITING
from understudy.cli.show import ago, between, blank, emit, emit_line, facts, look, note, say, seconds, table, trace
from understudy.cli.verbs import Settings, Verbs, budget_of, common, pass_settings
from understudy.messages.records import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from understudy.journal.protocol import Stored
    from understudy.messages.commands import CancelRun, PauseRun, ResumeRun
    from understudy.messages.records import AttemptRecord, RunRecord, StepRecord
    from understudy.workflows.reads import Reads

POLL = 0.1
"""Seconds between two looks at the journal of an orchestrator in another process."""


@click.group(cls=Verbs)
@common
def runs() -> None:
    """Look at runs and steer them. Looking needs no running orchestrator."""


@runs.command("list")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs of this status.")
@click.option("--name", metavar="WORKFLOW", help="Only runs of this workflow.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@common
@pass_settings
def list_runs(settings: Settings, status: RunStatus | None, name: str | None, limit: int) -> None:
    """List the newest runs."""
    from understudy.messages.errors import RunNotFound

    found: list[RunRecord] = []
    try:
        with look(settings.home) as reads:
            found = reads.runs(status, name, limit)
    except RunNotFound as error:  # no journal yet: an empty list is the answer, and how to fill it the hint
        note(str(error))
    if settings.json:
        emit(found)
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
        for run in found
    ]
    table(("run", "workflow", "status", "age", "duration", "reason"), rows)


@runs.command()
@click.argument("run_id", metavar="ID")
@common
@pass_settings
def show(settings: Settings, run_id: str) -> None:
    """Show a run with its steps and every attempt of them."""
    with look(settings.home) as reads:
        run, steps, state = reads.run(run_id), reads.steps(run_id), reads.state(run_id)
        asked = reads.approvals(run_id)
    if settings.json:
        emit({**run.model_dump(), "state": state, "steps": steps, "approvals": asked})
        return
    duration = seconds(between(run.started_at, run.ended_at))
    facts(
        [
            ("run", run.id),
            ("workflow", f"{run.workflow} in {run.app}"),
            ("status", run.status),
            ("reason", run.reason),
            ("started", run.started_at),
            ("duration", duration),
            ("parent", run.parent),
            ("waits for a person", "; ".join(f"{each.action} ({each.id})" for each in asked)),
        ]
    )
    blank()
    table(("step", "status", "attempt", "outcome", "worker", "pid", "duration", "what happened"), _attempts(steps))
    _traces(run, steps)


def _what_happened(attempt: "AttemptRecord") -> str:
    place = f" ({attempt.place})" if attempt.place else ""
    return f"{attempt.error}{place}" if attempt.error else ""


def _traces(run: "RunRecord", steps: "Sequence[StepRecord]" = ()) -> None:
    """Show where the code failed: the run's, and of steps without a result the last attempt's, where it says more."""
    whole = run.failure.report() if run.failure is not None else ""
    trace(f"run {run.id} failed:", whole)
    for step in steps:
        last = next((each for each in reversed(step.attempts) if each.outcome is not None), None)
        if last is not None and step.status != "completed" and _bare(last.traceback) not in _bare(whole):
            trace(f"step {step.key} attempt {last.number} failed:", last.traceback)


def _bare(text: str) -> str:
    """Give a traceback without the margins that it has as a part of a group's."""
    return "\n".join(line.lstrip(" |") for line in text.splitlines())


def _attempts(steps: "list[StepRecord]") -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for step in steps:
        scores = ", ".join(f"{one.name} {one.score:.2f}" for one in step.evaluations if one.score is not None)
        rows += [
            (
                step.key if attempt is step.attempts[0] else "",
                step.status if attempt is step.attempts[0] else "",
                attempt.number,
                attempt.outcome or "running",
                attempt.worker,
                attempt.pid,
                seconds(between(attempt.started_at, attempt.ended_at)),
                _what_happened(attempt) or (scores if attempt is step.attempts[-1] else ""),
            )
            for attempt in step.attempts
        ] or [(step.key, step.status, "", "", "", "", "", "")]
    return rows


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Only those after this number.")
@common
@pass_settings
def events(settings: Settings, run_id: str, after: int) -> None:
    """Print the events of a run as the journal holds them."""
    from understudy.metrics.sentences import describe
    from understudy.workflows.views import iso

    with look(settings.home) as reads:
        run, stored = reads.run(run_id), reads.events(run_id, after)
    if settings.json:
        emit([{"seq": item.seq, **item.event.model_dump()} for item in stored])
        return
    rows = [
        (item.seq, iso(item.event.at), describe(run_id, run.workflow, item.event).removeprefix(f"run {run_id} "))
        for item in stored
    ]
    table(("seq", "time", "what happened"), rows)
    _traces(run)


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
    """Print what a run has emitted, one value a line as JSON; with -o json and --follow one object a line."""
    from understudy.journal.pages import stored_events
    from understudy.workflows.views import stream_items

    with look(settings.home) as reads:
        events = _followed(reads, run_id) if follow else stored_events(reads, run_id)
        items = stream_items(events, channel, after)
        if settings.json and not follow:
            emit(list(items))
            return
        for item in items:
            emit_line(item if settings.json else item.value)


def _followed(reads: "Reads", run_id: str) -> "Iterator[Stored]":
    """Give the events of a run until it is over. Another process writes the journal, which announces nothing."""
    from understudy.journal.pages import stored_events
    from understudy.workflows.waiting import is_over

    after, over = 0, False
    while not over:
        over = is_over(reads, run_id)
        for stored in stored_events(reads, run_id, after):
            after = stored.seq
            yield stored
        if not over:
            time.sleep(POLL)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--timeout", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Seconds to wait for the end.")
@common
@pass_settings
def result(settings: Settings, run_id: str, timeout: float) -> int:
    """Print the result of a run as JSON; exits 1, 5 or 6 where it failed, was cancelled or waits for a person."""
    from understudy.cli.run import open_questions

    deadline = time.monotonic() + timeout
    with look(settings.home) as reads:
        while reads.run(run_id).status in {"pending", "running", "waiting", "paused"} and time.monotonic() < deadline:
            time.sleep(POLL)  # another process writes the journal, and a journal announces nothing
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
    """Ask a run to end early. Its program may clean up, also that of a paused or parked run."""
    from understudy.messages.commands import CancelRun

    _steer(settings, CancelRun(run_id=run_id, reason=reason, within=within), "was asked to end")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", help="Why; it is kept with the run.")
@common
@pass_settings
def pause(settings: Settings, run_id: str, reason: str | None) -> None:
    """Have a run and its children stop where they are. What runs may end; nothing new begins."""
    from understudy.messages.commands import PauseRun

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
    help="A new total for usd, tokens, wall (seconds) or attempts; may be repeated.",
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
    """Let a paused or parked run go on, with a higher budget where it needs one; with --all every parked one."""
    from understudy.messages.commands import ResumeRun

    if everything == (run_id is not None):
        msg = "give the ID of one run, or --all for every run that is parked"
        raise click.UsageError(msg)
    if run_id is None:
        resume_parked(settings, "run", name)
        return
    _steer(settings, ResumeRun(run_id=run_id, budget=budget_of(limits)), "goes on")


@runs.command()
@click.argument("run_id", metavar="ID")
@common
@pass_settings
def retry(settings: Settings, run_id: str) -> None:
    """Let a run that failed or was cancelled go on from the step that failed. Recorded results stay."""
    from understudy.messages.commands import RetryRun
    from understudy.workflows.door import ask
    from understudy.workflows.handle import check

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
    """Start a run that shares the past of ID up to a step, and goes another way from there."""
    from understudy.messages.commands import Accepted, ForkRun
    from understudy.workflows.door import ask
    from understudy.workflows.handle import check

    command = ForkRun(run_id=run_id, at=at, input=_json(given, "--input"), result=_json(result, "--result"), id=new_id)
    with look(settings.home) as reads:
        reads.run(run_id)
    reply = check(ask(settings.home, command))
    assert isinstance(reply, Accepted)
    if settings.json:
        emit({"run_id": reply.run_id, "origin": run_id})
    else:
        say(f"run {reply.run_id} goes on from run {run_id}")


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
    from understudy.messages.json_text import plain
    from understudy.metrics.sentences import shorten

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
    """Let everything that is parked go on, and say what that was."""
    from understudy.messages.commands import Resumed, ResumeParked
    from understudy.workflows.door import ask
    from understudy.workflows.handle import check

    reply = check(ask(settings.home, ResumeParked(kind=kind, name=name)))
    assert isinstance(reply, Resumed)
    if settings.json:
        emit({"resumed": list(reply.run_ids)})
        return
    for run_id in reply.run_ids:
        say(f"{kind} {run_id} goes on")
    if not reply.run_ids:
        say(f"no {kind} is parked")


def _steer(settings: Settings, command: "CancelRun | PauseRun | ResumeRun", done: str) -> None:
    """Send a command about a run that has not ended, and say what came of it."""
    from understudy.messages.records import ENDED
    from understudy.workflows.door import ask
    from understudy.workflows.handle import check

    with look(settings.home) as reads:
        status = reads.run(command.run_id).status
    if status not in ENDED:
        check(ask(settings.home, command))
    if settings.json:
        emit({"run_id": command.run_id, "status": status, "asked": status not in ENDED})
    else:
        say(f"run {command.run_id} {f'is {status} already' if status in ENDED else done}")
