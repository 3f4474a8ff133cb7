"""An assertion of the rule that everything rests on: state is the fold of the journal."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Final, TypeAlias, get_args

from greenroom.journal.interface import MarkKind, RunRow, Stored
from greenroom.messages.core.errors import JournalCorrupt
from greenroom.messages.events.events import AnswerRated, AnswerSampled, RunRetried
from greenroom.testing.standing import Handle, orchestrator_of, run_of
from greenroom.testing.waits import TIMEOUT, until
from greenroom.workflows.api.orchestrator import Orchestrator
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.schedules.fold import fold_events
from greenroom.workflows.schedules.queries import is_schedule, row_of_schedule
from greenroom.workflows.state.fold import fold, fold_all
from greenroom.workflows.state.run_state import RunState

PREFIXES: Final = 50
"""Number of prefixes of a long journal that are folded again; of a shorter one all are."""
Marks: TypeAlias = dict[tuple[MarkKind, str], int]
_AFTER_END: Final = (RunRetried, AnswerSampled, AnswerRated)
"""What may follow the end of a run."""
OF_THE_DISK: Final = frozenset({"wait_changes", "mark_changes"})
"""Fields of a state that only list what is still to be written."""


def assert_state_is_fold(what: Orchestrator | Handle) -> None:
    """Assert that the state of runs is what their journal says. May be called at any time.

    It checks the whole journal with every hash chain; that events are numbered without a gap; that folding any prefix
    of them again gives the same state; that only a retry and background scores follow the end of a
    run; that the run index, the timers and the marks follow from the events; and that the state of a run in memory,
    which may be ahead of the journal, is the fold of the same number of events once these are committed.

    Args:
        what: An orchestrator, for all of its runs, sessions and schedules, or one run or session.

    Raises:
        TypeError: It is neither.
        AssertionError: Some of this does not hold; the message lists all of it.
    """
    if isinstance(what, Orchestrator):
        orchestrator, ids = what, [row.id for row in what.reads.journal.runs(limit=None)]
    else:
        run = run_of(what)
        orchestrator, ids = orchestrator_of(run), [run.id]
    faults = [f"the journal: {fault}" for fault in orchestrator.reads.journal.verify()]
    for run_id in ids:
        try:
            if is_schedule(run_id):
                faults += [f"schedule {run_id}: {fault}" for fault in _faults_of_schedule(orchestrator, run_id)]
                continue
            faults += [f"run {run_id}: {fault}" for fault in _faults_in_memory(orchestrator, run_id)]
            faults += [f"run {run_id}: {fault}" for fault in _faults_on_disk(orchestrator, run_id)]
        except JournalCorrupt as error:
            faults.append(f"run {run_id}: {error}")
    assert not faults, "state is not the fold of the journal:\n" + "\n".join(f"  {fault}" for fault in faults)


def _faults_in_memory(orchestrator: Orchestrator, run_id: str) -> Iterator[str]:
    peek = orchestrator.peek(run_id)
    if peek is None:
        return
    seq = peek.state.seq

    def written() -> list[Stored] | None:
        stored = orchestrator.reads.events(run_id)
        return stored[:seq] if len(stored) >= seq else None

    events = until(orchestrator.get(run_id), written, f"event {seq} on the disk", TIMEOUT, let_pass=False)
    yield from _differences(peek.state, fold_all(stored.event for stored in events), f"in memory, after event {seq},")


def _faults_of_schedule(orchestrator: Orchestrator, entry: str) -> Iterator[str]:
    row, events, _, _ = _consistent(orchestrator, entry)
    yield from _faults_in_order(events, row)
    state = fold_events(stored.event for stored in events)
    assert state is not None
    yield from _faults_of_row(row, row_of_schedule(entry, state, row.wake_seq))


def _faults_on_disk(orchestrator: Orchestrator, run_id: str) -> Iterator[str]:
    row, events, timers, marks = _consistent(orchestrator, run_id)
    yield from _faults_in_order(events, row)
    state: RunState | None = None
    due: dict[str, float] = {}
    marked: Marks = {}
    stride = max(1, len(events) // PREFIXES)
    for count, stored in enumerate(events, 1):
        if state is not None and state.ended is not None and not isinstance(stored.event, _AFTER_END):
            yield f"event {stored.seq}, {stored.type}, follows its end"
        state = fold(state, stored.event)
        _apply(state, due, marked)
        if count % stride == 0 or count == len(events):
            anew = fold_all(item.event for item in events[:count])
            yield from _differences(state, anew, f"folded on to event {count},")
    if state is None:
        yield "it has no events"
        return
    yield from _faults_of_row(row, row_of(state))
    if timers != due:
        yield f"the timers are {timers}, its events lead to {due}"
    if marks != marked:
        yield f"the marks are {marks}, its events lead to {marked}"


def _consistent(orchestrator: Orchestrator, run_id: str) -> tuple[RunRow, list[Stored], dict[str, float], Marks]:
    """Read everything about a run from the journal; read again if something was written meanwhile."""
    journal = orchestrator.reads.journal
    while True:
        row = journal.run(run_id)
        assert row is not None
        events = journal.events(run_id)
        timers = {timer.key: timer.due for timer in journal.timers() if timer.run_id == run_id}
        kinds: tuple[MarkKind, ...] = get_args(MarkKind)
        marks: Marks = {(mark.kind, mark.name): mark.seq for kind in kinds for mark in journal.marks(kind, run_id)}
        if journal.run(run_id) == row and len(events) == row.last_seq:
            return row, events, timers, marks


def _faults_in_order(events: list[Stored], row: RunRow) -> Iterator[str]:
    numbers = [stored.seq for stored in events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its events are numbered {numbers}"
    if row.last_seq != len(events):
        yield f"it has {len(events)} events, the index says {row.last_seq}"


def _faults_of_row(row: RunRow, expected: RunRow) -> Iterator[str]:
    for field in fields(RunRow):
        found, right = getattr(row, field.name), getattr(expected, field.name)
        if field.name != "last_seq" and found != right:
            yield f"the index has {field.name} {found!r}, its events lead to {right!r}"


def _apply(state: RunState, due: dict[str, float], marked: Marks) -> None:
    """Apply an append to these tables as the journal would."""
    for key, moment in state.wait_changes:
        if moment is None:
            due.pop(key, None)
        else:
            due[key] = moment
    for kind, name, seq in state.mark_changes:
        if seq is None:
            marked.pop((kind, name), None)
        else:
            marked[kind, name] = seq
    state.wait_changes.clear()
    state.mark_changes.clear()


def _differences(found: RunState, right: RunState, where: str) -> Iterator[str]:
    for field in fields(RunState):
        mine, theirs = getattr(found, field.name), getattr(right, field.name)
        if field.name not in OF_THE_DISK and mine != theirs:
            yield f"{where} {field.name} is {mine!r}, and the fold of its events has {theirs!r}"
