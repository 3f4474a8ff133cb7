"""Writes a transaction with one statement, during which the interpreter's lock is not needed.

Each call of SQLite gives up the interpreter's lock and then has to wait for it. With one call each to begin, to insert
into each table, and to commit, the writer and the reactor take the lock from each other several times per transaction.
So the rows of all tables are inserted into one view, whose triggers insert each row into its table. A statement outside
a transaction is a transaction of its own.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import apsw

from greenroom.journal.database import Database


class Target(NamedTuple):
    """What happens to the rows of one kind. ``sql`` has ``{row}`` in the place of the row's values."""

    columns: int
    sql: str


UNCHANGED: Final = "unchanged"
"""A row of an epoch's number and a ``data_version``. If either differs, the transaction fails and writes nothing."""

_RUN: Final = (
    "workflow, app, status, started_at, updated_at, ended_at, parent, reason, last_seq, kind, wake_seq, aside, keys, "
    "head, seal"
)
TARGETS: Final = {
    UNCHANGED: Target(
        2,
        "SELECT RAISE(ABORT, 'another connection has written') WHERE {row} IS NOT "
        "(SELECT epoch.value, data_version FROM main.meta AS epoch, pragma_data_version WHERE epoch.name = 'epoch')",
    ),
    "blob": Target(2, "INSERT INTO blobs (hash, body) VALUES {row} ON CONFLICT DO NOTHING"),
    "events": Target(7, "INSERT INTO event_lines (run_id, seq, type, body, blob, hash, number) VALUES {row}"),
    "no timer": Target(2, "DELETE FROM timers WHERE (run_id, key) = {row}"),
    "timer": Target(3, "INSERT INTO timers (run_id, key, due) VALUES {row}"),
    "no mark": Target(3, "DELETE FROM marks WHERE (run_id, kind, name) = {row}"),
    "mark": Target(4, "INSERT INTO marks (run_id, kind, name, seq) VALUES {row}"),
    "run": Target(
        16,
        f"INSERT INTO runs (id, {_RUN}) VALUES {{row}} ON CONFLICT (id) DO UPDATE SET ({_RUN}) = "  # noqa: S608  made of constants
        f"({', '.join(f'excluded.{column}' for column in _RUN.split(', '))})",
    ),
}
"""By kind of row."""

_COLUMNS: Final = max(target.columns for target in TARGETS.values())
_WIDTH: Final = 1 + _COLUMNS
_EXACT: Final = 32
"""Up to this number of rows, each number has its own statement."""
_STEP: Final = 16
"""Beyond it only multiples of this one have; empty rows are added to the others."""
_MOST: Final = 128
"""Most rows per statement, so that the statements are few enough to stay prepared."""


class TransactionRows:
    """The rows of one transaction, in the order in which they are written."""

    def __init__(self) -> None:
        """Start without rows."""
        self._values: list[Any] = []
        self._rows = 0

    def add(self, kind: str, *rows: Sequence[Any]) -> None:
        """Add rows of a kind of ``TARGETS``."""
        rest = _REST[kind]
        for row in rows:
            self._values += (kind, *row, *rest)
        self._rows += len(rows)

    def write(self, connection: Database) -> None:
        """Write the transaction, with one statement unless it is very long; or as a part of an open transaction.

        Raises:
            apsw.ConstraintError: Another connection has written, or a row exists already. Nothing was written.
            apsw.Error: The database cannot be written.
        """
        if self._rows <= _MOST or connection.in_transaction:
            self._insert(connection)
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert(connection)
        except apsw.ConstraintError:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _insert(self, connection: Database) -> None:
        for start in range(0, self._rows, _MOST):
            count = min(_MOST, self._rows - start)
            size = count if count <= _EXACT else -(-count // _STEP) * _STEP
            values = self._values[start * _WIDTH : (start + count) * _WIDTH]
            connection.execute(_statement(size), [*values, *[None] * ((size - count) * _WIDTH)])


_REST: Final = {kind: (None,) * (_COLUMNS - target.columns) for kind, target in TARGETS.items()}
"""The unused columns of a row, by its kind."""


@cache
def _statement(rows: int) -> str:
    row = f"({', '.join('?' * _WIDTH)})"
    return f"INSERT INTO temp.changes VALUES {', '.join([row] * rows)}"  # noqa: S608  made of numbers


def prepare(connection: Database) -> None:
    """Create the view and its triggers. They exist only in this connection, in memory."""
    connection.pragma("temp_store", "MEMORY")
    columns = ", ".join(f"NULL AS c{number}" for number in range(_COLUMNS))
    connection.execute(f"CREATE TEMP VIEW changes AS SELECT NULL AS target, {columns}")
    for kind, target in TARGETS.items():
        row = f"({', '.join(f'NEW.c{number}' for number in range(target.columns))})"
        connection.execute(
            f"CREATE TEMP TRIGGER \"{kind}\" INSTEAD OF INSERT ON changes WHEN NEW.target = '{kind}' "
            f"BEGIN {target.sql.format(row=row)}; END"
        )
