"""The part of apsw that the journal uses, with types that every supported Python accepts."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """The rows of a statement."""

    @property
    def get(self) -> Any:
        """The only value of the only row."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """An open connection: see ``apsw.Connection`` for each method. Usable from any thread, but only one at a time."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    @property
    def system_errno(self) -> int:
        """The operating system's error number of the last failed input or output."""
        ...

    def execute(self, statements: str, bindings: Sequence[Any] | None = None) -> Rows:
        """Run SQL to its first row."""
        ...

    def pragma(self, name: str, value: Any = None) -> Any:
        """Read or set a setting of SQLite."""
        ...

    def config(self, op: int, /, *args: int) -> int:
        """Read or set a switch of the connection."""
        ...

    def status(self, op: int, *, reset: bool = False) -> tuple[int, int]:
        """Read one of the connection's counters and its highest value."""
        ...

    def set_busy_timeout(self, milliseconds: int) -> None:
        """Set how long to wait for locks of others."""
        ...

    def wal_autocheckpoint(self, n: int) -> None:
        """Set after how many pages a commit checkpoints; 0 for never."""
        ...

    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]:
        """Copy the write-ahead log into the database."""
        ...

    def close(self, *, force: bool = False) -> None:
        """Close the file."""
        ...
