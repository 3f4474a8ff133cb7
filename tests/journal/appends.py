"""Appends to write to journals under test."""

from queue import SimpleQueue
from typing import Any

from greenroom.journal.interface import Append, Journal, RunRow
from greenroom.messages.core.errors import JournalError
from greenroom.messages.events.events import AnyEvent, RunStarted, StateChanged
from greenroom.messages.records.records import RunStatus

WAIT = 30.0
"""Seconds after which a missing answer is a failure."""


def started(run_id: str, at: float = 1.0) -> RunStarted:
    """Give a run's first event."""
    return RunStarted(at=at, run_id=run_id, app="app.py", workflow="research", arguments={"topic": "otters"})


def changed(value: Any, at: float = 2.0) -> StateChanged:
    """Give an event that holds any JSON value."""
    return StateChanged(at=at, state=value)


def row(run_id: str, **fields: Any) -> RunRow:
    """Give an index line, running unless said otherwise."""
    basis = {"workflow": "research", "app": "app.py", "status": "running", "started_at": 1.0, "updated_at": 2.0}
    return RunRow(**{"id": run_id} | basis | fields)


class Client:
    """Appends and waits, as a run's actor does without waiting."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def send(self, run_id: str, expected: int, *events: AnyEvent, **more: Any) -> "SimpleQueue[JournalError | None]":
        """Queue an append; the answer arrives in what this gives."""
        answer: SimpleQueue[JournalError | None] = SimpleQueue()
        index = more.pop("row", None) or row(run_id)
        self.journal.append(Append(run_id, expected, events, index, done=answer.put, **more))
        return answer

    def append(self, run_id: str, expected: int, *events: AnyEvent, **more: Any) -> JournalError | None:
        """Append and wait for the answer."""
        return self.send(run_id, expected, *events, **more).get(timeout=WAIT)

    def status(self, run_id: str, status: RunStatus, **fields: Any) -> None:
        """Write an index line alone, at whatever event the run is."""
        found = self.journal.run(run_id)
        assert self.append(run_id, found.last_seq if found else 0, row=row(run_id, status=status, **fields)) is None
