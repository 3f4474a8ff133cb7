"""Journals with a long past, made in seconds: what sessions would have written turn by turn is appended in bulk.

Events go through the engine's own fold, so index lines and marks are those that a run's actor would have written. That
nothing differs from the real thing is for ``shape`` to show.
"""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from greenroom.actors.values.conversion import write_state
from greenroom.journal.interface import Append, Journal, Mark
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalError
from greenroom.messages.events.events import AnyEvent, MessageReceived, ProgramStarted, SessionOpened, TurnEnded
from greenroom.messages.frames.replay_differences import FORM
from greenroom.workflows.authoring.session import Handler
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.state.fold import fold

SINCE: Final = 1_700_000_000.0
"""When everything happened."""
TURNS_PER_APPEND: Final = 100
QUEUED: Final = 500
"""Appends on their way to the disk at once."""


def fill(
    path: Path, handler: Handler[Any, Any, Any], keys: Iterable[str], message: Any, *, reply: Any, turns: int = 1
) -> None:
    """Write sessions that have dealt with the same message so many times, each time under another key.

    Args:
        path: The journal, which nobody else has open.
        handler: Whose sessions.
        keys: The sessions' keys. None of them has been opened.
        message: What they were sent.
        reply: What they answered, as JSON.
        turns: How often.
    """
    journal = SqliteJournal(path, durability="process")
    room = threading.Semaphore(QUEUED)
    failures: list[JournalError] = []

    def done(error: JournalError | None) -> None:
        if error is not None:
            failures.append(error)
        room.release()

    for key in keys:
        state, expected = None, 0
        for events in _past(handler, key, message, reply, turns):
            for event in events:
                state = fold(state, event)
            assert state is not None
            marks = [Mark(state.run_id, kind, name, seq) for kind, name, seq in state.mark_changes if seq is not None]
            state.mark_changes.clear()
            room.acquire()
            journal.append(Append(state.run_id, expected, events, row_of(state), marks_set=marks, done=done))
            expected += len(events)
    journal.close()
    assert not failures, failures[0]


def _past(handler: Handler[Any, Any, Any], key: str, message: Any, reply: Any, turns: int) -> Iterator[list[AnyEvent]]:
    """Give the events of one session, some turns at a time."""
    definition = handler.definition
    name, value = definition.write_message(message)
    state = write_state(definition.state_model(), "the first state")
    run_id = f"{handler.name}/{key}"
    events: list[AnyEvent] = [
        SessionOpened(
            at=SINCE, run_id=run_id, app=definition.app, session=handler.name, key=key, seed="0" * 32, form=FORM
        )
    ]
    for number in range(1, turns + 1):
        at = SINCE + number
        events += (
            MessageReceived(at=at, number=number, name=name, value=value, key=f"message-{number}"),
            ProgramStarted(at=at, worker="program-1", pid=1, incarnation=1),
            TurnEnded(at=at, number=number, reply=reply, state=state, received=number, offsets={}, form=FORM),
        )
        if number % TURNS_PER_APPEND == 0:
            yield events
            events = []
    if events:
        yield events


def shape(journal: Journal, run_id: str) -> dict[str, Any]:
    """Give everything that a journal holds of a session but for moments, chance and names."""
    row = journal.run(run_id)
    assert row is not None
    own = {"at", "run_id", "seed", "worker", "pid", "incarnation", "state", "key"}
    return {
        "events": [stored.event.model_dump(exclude=own) for stored in journal.events(run_id)],
        "fields": [sorted(stored.event.model_dump()) for stored in journal.events(run_id)],
        "row": (row.workflow, row.app, row.status, row.ended_at, row.kind, row.wake_seq, row.last_seq, row.reason),
        "messages": [(mark.name, mark.seq) for mark in journal.marks("message", run_id)],
        "outgoing": [mark for mark in journal.marks("outgoing") if mark.run_id == run_id],
        "timers": [timer for timer in journal.timers() if timer.run_id == run_id],
    }
