"""Rebuilding the index, the timers and the marks of a journal from its events."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from loguru import logger

from greenroom.journal.interface import Append, EntryKind, Fault, Journal, Mark, MarkKind, RunRow, Stored, Timer
from greenroom.messages.core.errors import JournalCorrupt
from greenroom.messages.events.events import RunStarted, SessionOpened
from greenroom.messages.records.records import ALIVE
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.schedules.fold import fold_events
from greenroom.workflows.schedules.queries import TIMER, is_schedule, row_of_schedule
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import UNHEARD, RunState

READINGS: Final = 5
"""How often a run is read before it counts as damaged."""


def mend(journal: Journal) -> None:
    """Check the tables that recovery reads, and rebuild them if they are damaged.

    To be called before the first append. Blocks, only shortly if nothing is damaged.

    Raises:
        JournalError: The journal cannot be read or written.
    """
    faults = journal.quick_faults(ALIVE)
    if faults:
        for fault in faults:
            logger.error("the journal is damaged: {}", fault.sentence)
        journal.rebuild(anew(journal))
        logger.warning("the run index, the timers and the marks were made anew from the events; check with db verify")


def anew(journal: Journal) -> Iterator[Append]:
    """Yield the contents of these tables, for ``Journal.rebuild``. A run that cannot be read becomes a parked one."""
    for run_id in journal.entries():
        try:
            yield line_of(run_id, journal.chain(run_id))
        except (JournalCorrupt, ValueError, LookupError) as error:
            logger.error("run {} is set aside, its events cannot be read: {}", run_id, error)
            yield Append(run_id, 0, (), _set_aside(journal, run_id, str(error)))


def line_of(run_id: str, events: Sequence[Stored]) -> Append:
    """Return the entry in the index, the timers and the marks that follow from events. Pure.

    Raises:
        ValueError: They are not the events of a run, a session or a schedule.
    """
    if is_schedule(run_id):
        schedule = fold_events(stored.event for stored in events)
        if schedule is None:
            msg = f"the schedule {run_id} has no events"
            raise ValueError(msg)
        active = not (schedule.paused or schedule.deleted)
        dues = [Timer(run_id, TIMER, schedule.due)] if active else []
        return Append(run_id, len(events), (), row_of_schedule(run_id, schedule, 0), timers_set=dues)
    state: RunState | None = None
    timers: dict[str, float | None] = {}
    marks: dict[tuple[MarkKind, str], int | None] = {}
    for stored in events:
        state = fold(state, stored.event)
        timers |= dict(state.wait_changes)
        marks |= {(kind, name): seq for kind, name, seq in state.mark_changes}
        state.wait_changes.clear()
        state.mark_changes.clear()
    if state is None:
        msg = f"run {run_id} has no events"
        raise ValueError(msg)
    if state.status == "waiting" and not state.idle:
        marks[UNHEARD] = len(events)  # what its program has answered is not in the journal
    return Append(
        run_id,
        len(events),
        (),
        row_of(state),
        timers_set=[Timer(run_id, key, due) for key, due in timers.items() if due is not None],
        marks_set=[Mark(run_id, *mark, seq) for mark, seq in marks.items() if seq is not None],
    )


def state_faults(journal: Journal) -> Iterator[Fault]:
    """Yield the differences between the tables and the events of each run. Runs with damaged events are left out."""
    for run_id in journal.entries():
        # An orchestrator may write between two of these reads, so a difference is read again.
        if all(what := _difference(journal, run_id) for _ in range(READINGS)):
            yield Fault("state", f"run {run_id}: {what} not what its events lead to", run_id)


def _difference(journal: Journal, run_id: str) -> str:
    try:
        row, timers = journal.run(run_id), [timer for timer in journal.timers() if timer.run_id == run_id]
        right = line_of(run_id, journal.chain(run_id))
    except (JournalCorrupt, ValueError, LookupError):
        return ""  # reported by ``Journal.faults``
    if row is None or replace(row, last_seq=0) != replace(right.row, wake_seq=row.wake_seq):
        return "its line in the index is"
    return "" if set(timers) == set(right.timers_set) else "its timers are"


def _set_aside(journal: Journal, run_id: str, reason: str) -> RunRow:
    """Return the entry of a run that cannot be folded: parked, with the names in its first event."""
    workflow, app, at = "", "", 0.0
    try:
        first = journal.events(run_id, limit=1)[0].event
    except (JournalCorrupt, LookupError):
        first = None
    if isinstance(first, RunStarted):
        workflow, app, at = first.workflow, first.app, first.at
    elif isinstance(first, SessionOpened):
        workflow, app, at = first.session, first.app, first.at
    kind: EntryKind = "schedule" if is_schedule(run_id) else "session" if "/" in run_id else "run"
    return RunRow(run_id, workflow, app, "parked", at, at, reason=reason, kind=kind)
