"""A process that writes a journal until something ends it, and says on its standard output what was acknowledged.

Started as ``python -m tests.journal.writing PATH DURABILITY SEED [LIMIT]``. Each acknowledgement is one line, run and
newest sequence number, written after the commit; a refusal is the error's class and sentence. With a limit in bytes no
file can grow past it, as on a full disk.
"""

import os
import random
import resource
import sys
import threading
from pathlib import Path

from greenroom.journal.interface import Append
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalError
from greenroom.messages.events.events import StateChanged
from tests.journal.appends import changed, row

RUNS = 5


def content(run_id: str, seq: int) -> StateChanged:
    """Give the event that a run has at a position, of any size from tiny to larger than a line of the table."""
    size = random.Random(f"{run_id}{seq}").choice((0, 10, 300, 300, 5_000, 70_000))
    return changed({"run": run_id, "seq": seq, "pad": "x" * size})


def main(path: str, durability: str, seed: str, limit: str = "") -> None:
    """Write until killed, or until the journal refuses."""
    journal = SqliteJournal(Path(path), durability=durability)  # type: ignore[arg-type]
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    chance = random.Random(seed)
    room = threading.Semaphore(20)
    refused = threading.Event()
    newest = {f"r{number}": 0 for number in range(RUNS)}
    for run_id in newest:
        found = journal.run(run_id)
        newest[run_id] = found.last_seq if found else 0

    def say(run_id: str, seq: int, error: JournalError | None) -> None:
        line = f"{run_id} {seq}\n" if error is None else f"{type(error).__name__} {error}\n"
        os.write(1, line.encode())
        room.release()
        if error is not None:
            refused.set()

    def append() -> None:
        run_id = chance.choice(list(newest))
        first = newest[run_id]
        newest[run_id] = last = first + chance.randint(1, 4)
        events = [content(run_id, seq) for seq in range(first + 1, last + 1)]
        journal.append(
            Append(run_id, first, events, row(run_id), done=lambda error: say(run_id, last, error)),
        )

    while not refused.is_set():
        room.acquire()
        append()
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
