"""Queries about schedules: read their state from the journal, and make records of it."""

import difflib
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Final

from greenroom.journal.interface import Journal, RunRow
from greenroom.messages.core.errors import ScheduleNotFound
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.times import moment
from greenroom.messages.events.schedules import Firing, FiringRecord, FiringStatus, ScheduleRecord, ScheduleState
from greenroom.messages.records.records import ENDED, RunStatus
from greenroom.workflows.schedules.fold import fold_events
from greenroom.workflows.schedules.next_times import moments

TIMER: Final = "due"
"""Key of the durable timer."""
MARK: Final = "@"
"""Prefix of the ids of schedules in the journal, which no id of a run contains."""
SHOWN: Final = 5
"""Default number of next moments in a record."""
MAX_NAME: Final = 150
"""Maximum number of characters of a schedule's name; in ids of runs it is followed by a moment."""


@frozen
class StoredSchedule:
    """A schedule as read from the journal."""

    state: ScheduleState | None
    """None if it was never created."""
    seq: int
    """Sequence number of its newest event."""
    wake_seq: int
    """Sequence number of the last event that is not needed to go on."""


def entry_of(name: str) -> str:
    """Return the id of a schedule in the journal."""
    return MARK + name


def name_of(entry: str) -> str:
    """Return the name of the schedule with such an id."""
    return entry.removeprefix(MARK)


def is_schedule(entry: str) -> bool:
    """Return whether an id in the journal is that of a schedule."""
    return entry.startswith(MARK)


def schedule_name(given: object) -> str:
    """Check the name of a schedule, and return it.

    Raises:
        ValueError: It is empty, too long, or holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    if (
        not isinstance(given, str)
        or not 1 <= len(given) <= MAX_NAME
        or not all(sign.isascii() and (sign.isalnum() or sign in "._-") for sign in given)
    ):
        msg = f"a schedule's name is 1 to {MAX_NAME} letters, digits, '.', '_' or '-', not {given!r}"
        raise ValueError(msg)
    return given


def load(journal: Journal, name: str) -> StoredSchedule:
    """Read a schedule. Blocks.

    Raises:
        JournalError: It cannot be read.
        ValueError: Its events are not those of a schedule.
    """
    row = journal.run(entry_of(name))
    if row is None:
        return StoredSchedule(None, 0, 0)
    stored = journal.events(row.id, after=row.wake_seq)
    return StoredSchedule(fold_events(item.event for item in stored), stored[-1].seq, row.wake_seq)


def read_schedules(journal: Journal, count: int = SHOWN) -> list[ScheduleRecord]:
    """Return all schedules, sorted by name, with their next ``count`` moments. Blocks."""
    return [_record(journal, state, count) for state in _all(journal)]


def read_schedule(journal: Journal, name: str, count: int = SHOWN) -> ScheduleRecord:
    """Return one schedule with its next ``count`` moments. Blocks.

    Raises:
        ScheduleNotFound: There is none of this name.
    """
    state = load(journal, name).state
    if state is None or state.deleted:
        close = difflib.get_close_matches(name, [each.name for each in _all(journal)], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        msg = f"there is no schedule {name!r}{hint}"
        raise ScheduleNotFound(msg)
    return _record(journal, state, count)


def _all(journal: Journal) -> list[ScheduleState]:
    rows = [row for row in journal.runs(kind="schedule", limit=None) if row.status not in ENDED]
    states = [load(journal, name_of(row.id)).state for row in rows]
    return sorted((state for state in states if state is not None and not state.deleted), key=lambda state: state.name)


def _next_times(state: ScheduleState, count: int) -> list[datetime]:
    if state.paused:
        return []
    found: list[datetime] = []
    with suppress(ValueError):  # its time zone may be unknown on this machine
        found += (moment(due) for due in islice(moments(state.plan, state.anchor, state.due), count))
    return found


def _record(journal: Journal, state: ScheduleState, count: int) -> ScheduleRecord:
    plan = state.plan
    return ScheduleRecord(
        name=state.name,
        workflow=plan.workflow,
        app=plan.app,
        arguments=plan.arguments,
        cron=plan.cron,
        every=plan.every,
        timezone=plan.timezone,
        overlap=plan.overlap,
        catch_up=plan.catch_up,
        status="paused" if state.paused else "active",
        reason=state.reason,
        created_at=moment(state.created_at),
        updated_at=moment(state.updated_at),
        next_times=tuple(_next_times(state, count)),
        fired=state.fired,
        skipped=state.skipped,
        firings=tuple(_firing_record(journal, firing) for firing in reversed(state.firings)),
    )


def _firing_record(journal: Journal, firing: Firing) -> FiringRecord:
    """Return a record of a firing. The end of its run counts at once, and not when the schedule has heard of it."""
    status: FiringStatus = firing.status
    row = journal.run(firing.run_id) if firing.open and firing.run_id is not None else None
    match row.status if row is not None else None:
        case "completed" | "failed" | "cancelled" as ended:
            status = ended
        case _:
            pass
    return FiringRecord(
        due=moment(firing.due),
        status=status,
        run_id=firing.run_id,
        manual=firing.manual,
        reason=firing.reason,
        count=firing.count,
    )


def row_of_schedule(entry: str, state: ScheduleState, wake_seq: int) -> RunRow:
    """Return the row of a schedule in the run index."""
    return RunRow(
        id=entry,
        workflow=state.plan.workflow,
        app=state.plan.app,
        status=_status(state),
        started_at=state.created_at,
        updated_at=state.updated_at,
        ended_at=state.updated_at if state.deleted else None,
        reason=state.reason,
        kind="schedule",
        wake_seq=wake_seq,
    )


def _status(state: ScheduleState) -> RunStatus:
    """Return the status in the run index: ``running`` if there is something to recover before the next moment."""
    if state.deleted:
        return "cancelled"
    if state.paused:
        return "paused"
    return "running" if state.open or state.queued else "waiting"
