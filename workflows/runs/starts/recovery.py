"""Find the runs that continue when a journal is opened, when a pool works again, or when a person wants it. Blocks."""

from collections.abc import Callable, Iterable
from typing import Literal

from loguru import logger

from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Journal, Mark, RunRow
from greenroom.messages.core.errors import CodecError, JournalError
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import RunRetried
from greenroom.messages.records.records import ALIVE
from greenroom.supervision.jobs import PoolKey
from greenroom.workflows.decisions.program.ending import cleanup_is_over
from greenroom.workflows.queries.load import load
from greenroom.workflows.schedules.queries import is_schedule
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState


def find_alive(journal: Journal) -> list[RunRow]:
    """Return the index lines of the runs that were going on when the journal was last closed or cut off."""
    rows = journal.runs(status=ALIVE, limit=None)
    return [row for row in rows if row.kind != "schedule" and not row.damaged]


def find_unheard(journal: Journal) -> list[str]:
    """Return the runs that wait although their programs may have more to do."""
    return [mark.run_id for mark in journal.marks("unheard")]


def load_all(
    journal: Journal, rows: list[RunRow], unheard: Iterable[str], read: Callable[[str], RunState]
) -> tuple[list[RunState], dict[str, float]]:
    """Return the states of runs, and when those that wait must be read. A run that cannot be read is set aside."""
    states: list[RunState] = []
    for row in rows:
        try:
            states.append(read(row.id))
        except (JournalError, CodecError, ValueError, LookupError) as error:
            logger.error("run {} is set aside, it cannot be recovered: {}", row.id, error)
    waiting: dict[str, float] = {}
    for timer in journal.timers(waiting=True):
        if not is_schedule(timer.run_id):
            waiting.setdefault(timer.run_id, timer.due)
    for timer in journal.timers():
        if timer.key == CANCEL_KEY:  # a parked run too is ended once the time of its cleanup is over
            waiting[timer.run_id] = min(timer.due, waiting.get(timer.run_id, timer.due))
    for mark in journal.marks("outgoing"):
        waiting[mark.run_id] = 0.0  # the run's messages must be delivered, whatever its status
    for run_id in unheard:
        waiting[run_id] = 0.0  # its program may have been about to go on
    return states, waiting


@frozen
class Stray:
    """A run that goes on although nothing awaits it."""

    run_id: str
    reason: str
    within: float | None
    """Seconds that it has to clean up; None for as long as it needs."""


def find_strays(journal: Journal) -> list[Stray]:
    """Return the runs that their parents no longer await and had not cancelled when the journal was cut off.

    A parent that ends, or a session's turn that is over, leaves its open children first and has them cancelled after
    the commit. A run that a person has continued since goes on by itself.
    """
    below: dict[str, list[str]] = {}
    for row in journal.runs(status=(*ALIVE, "waiting", "parked"), limit=None, strays=True):
        if row.parent is not None and not row.damaged:
            below.setdefault(row.parent, []).append(row.id)
    strays: list[Stray] = []
    for parent_id, run_ids in below.items():
        try:
            state = load(journal, parent_id)
            awaited = {child.run_id for child in state.children.values() if child.open}
            left = [run_id for run_id in run_ids if run_id not in awaited and not _was_continued(journal, run_id)]
        except (JournalError, CodecError, ValueError, LookupError) as error:
            logger.error("the runs below {} are not looked after, it cannot be read: {}", parent_id, error)
            continue
        over = state.ended_at is not None and cleanup_is_over(state.cancel_due, state.ended_at)
        reason = f"run {parent_id} no longer awaits it"
        strays += [Stray(run_id, reason, 0.0 if over else None) for run_id in left]
    return strays


def _was_continued(journal: Journal, run_id: str) -> bool:
    """Return whether a person has retried a run."""
    events = (stored.event for stored in stored_events(journal, run_id))
    return any(isinstance(event, RunRetried) and event.by is None for event in events)


def find_sampled(journal: Journal) -> list[Mark]:
    """Return the marks of the answers that are to be rated in the background, the oldest of each run first."""
    return sorted(journal.marks("sampled"), key=lambda mark: (mark.run_id, mark.seq))


def find_stranded(journal: Journal, pool: PoolKey | None) -> list[tuple[str, str]]:
    """Return the runs that are parked until a pool works again, of one pool or of all, each with the pool's name."""
    marks = journal.marks("stranded", name=None if pool is None else pool.name)
    found = [(mark.run_id, mark.name) for mark in marks]
    if pool is None:
        return found
    return [each for each in found if (row := journal.run(each[0])) is not None and row.app == pool.app]


def find_parked(journal: Journal, kind: Literal["run", "session"], name: str | None) -> list[RunRow]:
    """Return the runs or sessions that are parked, of one name or of all, the oldest first."""
    rows = journal.runs(status=("parked",), limit=None)
    return [row for row in reversed(rows) if row.kind == kind and name in {None, row.workflow}]
