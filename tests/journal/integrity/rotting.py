"""A process that writes a small journal with a line of every kind, and then waits for its end.

Started as ``python -m tests.journal.integrity.rotting PATH``. It says ``ready`` once everything is acknowledged; a line on its
standard input makes it close the journal in order.
"""

import sys
import time
from pathlib import Path

from greenroom.journal.interface import Mark, Timer
from greenroom.journal.sqlite.journal import SqliteJournal
from tests.journal.appends import Client, changed, row, started

RUNS = ("alpha", "beta", "gamma", "chat/anna", "@nightly", "delta")


def main(path: str) -> None:
    """Write, and wait."""
    journal = SqliteJournal(Path(path), durability="process")
    client = Client(journal)
    for number, run_id in enumerate(RUNS):
        for turn in range(6):
            events = [started(run_id)] if turn == 0 else [changed({"turn": turn, "pad": "x" * (40 * number)})]
            kind = "session" if "/" in run_id else "schedule" if "@" in run_id else "run"
            line = row(run_id, kind=kind, status="waiting" if number % 2 else "running", updated_at=2.0 + turn)
            error = client.append(
                run_id,
                turn,
                *events,
                row=line,
                timers_set=[Timer(run_id, f"k{turn}", 50.0 + turn)],
                timers_cleared=[f"k{turn - 2}"],
                marks_set=[Mark(run_id, "message", f"key {turn}", turn + 1), Mark(run_id, "approval", "ask", turn + 1)],
            )
            assert error is None
    assert client.append("large", 0, started("large"), changed("y" * 70_000)) is None
    print("ready", flush=True)
    if sys.stdin.readline():
        journal.close()
    else:
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
