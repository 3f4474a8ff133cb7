"""Journals with many finished runs of one step, made in bulk: what each run would have written is appended at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

from work import chain, noop

from greenroom.journal.interface import Append
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalError
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.options.policy import StepOptions
from greenroom.metrics.ledger import Ledger
from greenroom.workflows.queries.records.run_records import row_of
from greenroom.workflows.state.fold import fold_all

SINCE = 1_700_000_000.0
QUEUED = 500
"""Appends on their way to the disk at once."""
APP = str(Path(__file__).with_name("work.py"))


def fill(path: Path, first: int, last: int) -> None:
    """Append finished runs with the numbers from ``first`` up to, and without, ``last``."""
    journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
    room = threading.Semaphore(QUEUED)
    failures: list[JournalError] = []

    def done(error: JournalError | None) -> None:
        if error is not None:
            failures.append(error)
        room.release()

    for number in range(first, last):
        events = list(finished(number))
        room.acquire()
        journal.append(Append(f"past-{number}", 0, events, row_of(fold_all(iter(events))), done=done))
    journal.close()
    if failures:
        raise failures[0]


def finished(number: int) -> Iterator[AnyEvent]:
    """Yield the events of a run of one step, which took between 1 and 11 ms."""
    at = SINCE + number / 100
    took = 0.001 + number * 7919 % 10_007 / 1_000_000
    key, token, worker = "noop#1", f"1:{number}", {"worker": "tool-1", "pid": 2, "incarnation": 1}
    yield ev.RunStarted(at=at, run_id=f"past-{number}", app=APP, workflow=chain.name, arguments={"steps": 1})
    yield ev.ProgramStarted(at=at, worker="program-1", pid=1, incarnation=1)
    yield ev.StepScheduled(
        at=at,
        key=key,
        name=noop.name,
        kind="tool",
        step="work:noop",
        arguments={"args": [0], "kwargs": {}},
        options=StepOptions(),
    )
    yield ev.AttemptStarted(at=at, key=key, attempt=1, token=token, **worker)
    yield ev.AttemptEnded(at=at + took, key=key, attempt=1, token=token, outcome="ok", result=0)
    yield ev.StepCompleted(at=at + took, key=key, attempt=1)
    yield ev.RunCompleted(at=at + took, result=1)
