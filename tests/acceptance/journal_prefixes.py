"""Journals that hold the first events of a run, as if every process had been killed after one of them."""

import threading
from pathlib import Path

from greenroom.journal.interface import Append
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.runs.append import append_of
from greenroom.workflows.state.fold import fold


def history(path: Path, run_id: str) -> list[AnyEvent]:
    """Give the events of a run whose orchestrator is closed."""
    journal = SqliteJournal(path, read_only=True)
    try:
        return [stored.event for stored in journal.events(run_id)]
    finally:
        journal.close()


def boundaries(events: list[AnyEvent]) -> list[int]:
    """Give the lengths of what a journal may hold. Events of one decision are committed together."""
    types = [event.type for event in events]
    together = {("attempt.ended", "step.completed"), ("attempt.ended", "step.failed"), ("step.scheduled",) * 2}
    return [length for length in range(1, len(events)) if (types[length - 1], types[length]) not in together]


def write_prefix(path: Path, run_id: str, events: list[AnyEvent]) -> None:
    """Write the first events of a run into a new journal."""
    journal = SqliteJournal(path)
    written = threading.Event()
    state = None
    for event in events:
        state = fold(state, event)
    assert state is not None
    state.seq = len(events)
    append = append_of(state, events, lambda _error: written.set())
    journal.append(Append(run_id, 0, events, row_of(state), append.timers_set, (), append.marks_set, (), append.done))
    assert written.wait(10)
    journal.close()
