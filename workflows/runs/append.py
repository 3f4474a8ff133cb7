"""Build appends for the journal from a run's state."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from greenroom.journal.interface import Append, Mark, MarkKind, Timer
from greenroom.messages.core.errors import JournalError
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.state.run_state import UNHEARD, RunState


def append_of(state: RunState, events: Sequence[AnyEvent], done: Callable[[JournalError | None], None]) -> Append:
    """Return the append that records a run's newest events, with the timers and marks that they have changed.

    The state's lists of changes are empty afterwards. Of several changes to one timer or mark the last counts.

    Args:
        state: The run, to which the events have been applied.
        events: Its newest events.
        done: Called in the writer's thread; see ``Append``.
    """
    run_id, expected, row = state.run_id, state.seq - len(events), row_of(state)
    if not state.wait_changes and not state.mark_changes:
        return Append(run_id=run_id, expected=expected, events=events, row=row, done=done)
    timers = dict(state.wait_changes)
    marks: dict[tuple[MarkKind, str], int | None] = {(kind, name): seq for kind, name, seq in state.mark_changes}
    state.wait_changes, state.mark_changes = [], []
    return Append(
        run_id=run_id,
        expected=expected,
        events=events,
        row=row,
        timers_set=[Timer(run_id, key, due) for key, due in timers.items() if due is not None],
        timers_cleared=[key for key, due in timers.items() if due is None],
        marks_set=[Mark(run_id, *mark, seq) for mark, seq in marks.items() if seq is not None],
        marks_cleared=[mark for mark, seq in marks.items() if seq is None],
        done=done,
    )


def with_unheard(append: Append, *, unheard: bool) -> Append:
    """Return an append that also sets or clears the mark ``UNHEARD``."""
    if unheard:
        seq = append.expected + len(append.events)
        return replace(append, marks_set=[*append.marks_set, Mark(append.run_id, *UNHEARD, seq)])
    return replace(append, marks_cleared=[*append.marks_cleared, UNHEARD])
