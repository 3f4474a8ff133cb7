"""Sums that reveal a lost, doubled or changed timer or mark, kept in the index line of its run."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from greenroom.journal.database import Database
from greenroom.journal.integrity.checksums import SUM, seal_of, weight_of

LINES: Final = (
    "SELECT id, workflow, app, status, started_at, updated_at, ended_at, parent, reason, last_seq, kind, wake_seq, "
    "aside, keys, head, seal FROM runs"
)
"""Lines of the index. Each ends with its seal, which is computed from the columns before it in this order."""
SEALED: Final = 3
"""The schema version that introduced seals and sums."""
TIMERS: Final = "SELECT run_id, key, due FROM timers"
MARKS: Final = "SELECT run_id, kind, name, seq FROM marks WHERE kind <> 'message'"
KEYS: Final = "SELECT run_id, kind, name, seq FROM marks WHERE kind = 'message'"


def is_key(line: Sequence[Any]) -> bool:
    """Return whether a timer (three columns) or a mark (four, with its kind) counts among the keys of messages."""
    return line[1] == "message" and len(line) == 4  # noqa: PLR2004


def add_up(lines: Iterable[Sequence[Any]]) -> dict[str, int]:
    """Return the sums of timers and marks by run."""
    sums: dict[str, int] = {}
    for line in lines:
        sums[line[0]] = (sums.get(line[0], 0) + weight_of(*line)) % SUM
    return sums


def sums_of(connection: Database, *queries: str) -> dict[str, int]:
    """Return the sums of the queries' rows by run.

    Raises:
        apsw.Error: The rows cannot be read.
        UnicodeDecodeError: A text in them is not valid.
    """
    return add_up(line for query in queries for line in connection.execute(query))


def seal_all(connection: Database) -> None:
    """Add seals and sums to a journal that has neither; about two seconds per hundred thousand lines.

    A line that cannot be read gets no seal, and so counts as damaged.
    """
    aside, keys = sums_of(connection, TIMERS, MARKS), sums_of(connection, KEYS)
    for run_id, value in aside.items():
        connection.execute("UPDATE runs SET aside = ? WHERE id = ?", (value, run_id))
    for run_id, value in keys.items():
        connection.execute("UPDATE runs SET keys = ? WHERE id = ?", (value, run_id))
    for (number,) in connection.execute("SELECT number FROM runs").fetchall():
        try:
            line = connection.execute(f"{LINES} WHERE number = ?", (number,)).fetchone()
        except UnicodeDecodeError:
            continue
        connection.execute("UPDATE runs SET seal = ? WHERE number = ?", (seal_of(line[:-1]), number))
