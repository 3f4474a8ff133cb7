"""The journal in one SQLite file, for a single machine, with nothing to install or run."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from greenroom.journal.integrity.quick_check import quick_faults
from greenroom.journal.integrity.verify import faults
from greenroom.journal.interface import Account, Append, EntryKind, Fault, Mark, MarkKind, RunRow, Stored, Timer
from greenroom.journal.sqlite.account_keeper import NewLedger
from greenroom.journal.sqlite.connections import Durability, close_untouched, open_reader, open_writer
from greenroom.journal.sqlite.group_commit import GroupCommit
from greenroom.journal.sqlite.reader import Reader
from greenroom.journal.sqlite.writer import Writer
from greenroom.messages.core.errors import JournalError
from greenroom.messages.records.records import RunStatus


class SqliteJournal:
    """A journal that survives the end of its process.

    Opened for writing, it has one thread that commits all queued appends in one transaction. Reads use their own
    connections, never wait for the writer, and see what was committed when they began.

    Args:
        path: The file. It and the directories above it are created if missing, only for their owner.
        durability: ``"full"``: acknowledged after the sync to disk. ``"process"``: acknowledged once the kernel has the
            data, which survives the death of any process. A power failure may then lose the last moments, but nothing
            earlier.
        read_only: Only read, even while another process writes. ``append`` is refused.
        accept_loss: Accept a journal that holds less than was acknowledged as it is.
        new_ledger: Makes the ledger by which sums over events are kept; None to leave the saved sums as they are.

    Raises:
        JournalTooNew: A newer version of this package wrote the file.
        JournalCorrupt: The file is not a journal, is damaged, or holds less than was acknowledged. It is left
            unchanged.
        JournalFull: The disk is full or read-only.
        JournalError: The file is missing (``read_only``), cannot be opened, or is on a network file system.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        read_only: bool = False,
        accept_loss: bool = False,
        new_ledger: NewLedger | None = None,
    ) -> None:
        """Open the file; for writing, begin a new epoch."""
        self.path = Path(path).absolute()
        self._reader = Reader(self.path, lambda: open_reader(self.path)[0])
        self._writer: Writer | None = None
        self._group: GroupCommit | None = None
        if read_only:
            connection, self._epoch = open_reader(self.path)
            close_untouched(connection)
            return
        connection, self._epoch = open_writer(self.path, durability, accept_loss=accept_loss)
        synced = durability == "full"
        self._writer = Writer(connection, self.path, self._epoch, synced=synced, new_ledger=new_ledger)
        self._group = GroupCommit(self._writer.commit, self._writer.rest, "greenroom-journal")

    def __repr__(self) -> str:
        """Return the file, how it is open, and whether it still accepts appends."""
        if self._group is None:
            return f"<SqliteJournal {self.path}, read only>"
        return f"<SqliteJournal {self.path}, epoch {self._epoch}{', stopped' if self._group.failed else ''}>"

    @property
    def epoch(self) -> int:
        """See ``Journal.epoch``. Opened read-only, the newest epoch at the time of opening."""
        return self._epoch

    def append(self, append: Append) -> None:
        """See ``Journal.append``. ``done`` runs in the writer's thread and must be quick.

        Raises:
            OrchestratorClosed: The journal was closed.
            JournalError: The journal was opened read-only.
        """
        if self._group is None:
            msg = f"the journal {self.path} was opened read-only: nothing can be appended"
            raise JournalError(msg)
        self._group.append(append)

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """See ``Journal.events``."""
        return self._reader.events(run_id, after, limit, most_bytes)

    def run(self, run_id: str) -> RunRow | None:
        """See ``Journal.run``."""
        return self._reader.run(run_id)

    def runs(
        self,
        *,
        status: Sequence[RunStatus] | None = None,
        workflow: str | None = None,
        kind: EntryKind | None = None,
        limit: int | None = 100,
        after: str | None = None,
        strays: bool = False,
    ) -> list[RunRow]:
        """See ``Journal.runs``."""
        return self._reader.runs(status, workflow, kind, limit, after, strays=strays)

    def timers(self, before: float | None = None, *, waiting: bool = False) -> list[Timer]:
        """See ``Journal.timers``. A timer due at exactly that moment is included."""
        return self._reader.timers(before, waiting=waiting)

    def marks(self, kind: MarkKind, run_id: str | None = None, name: str | None = None) -> list[Mark]:
        """See ``Journal.marks``."""
        return self._reader.marks(kind, run_id, name)

    def chain(self, run_id: str) -> list[Stored]:
        """See ``Journal.chain``."""
        return self._reader.chain(run_id)

    def entries(self) -> list[str]:
        """See ``Journal.entries``."""
        with self._reader.connection() as connection:
            found = connection.execute("SELECT run_id FROM event_lines GROUP BY run_id ORDER BY min(rowid)").fetchall()
        return [run_id for (run_id,) in found if isinstance(run_id, str)]

    def account(self) -> AbstractContextManager[Account]:
        """See ``Journal.account``."""
        return self._reader.account()

    def quick_faults(self, busy: Sequence[RunStatus]) -> list[Fault]:
        """See ``Journal.quick_faults``."""
        with self._reader.connection() as connection:
            return list(quick_faults(connection, busy))

    def rebuild(self, lines: Iterable[Append]) -> None:
        """See ``Journal.rebuild``."""
        if self._writer is None:
            msg = f"the journal {self.path} was opened read-only: its index cannot be made anew"
            raise JournalError(msg)
        self._writer.rebuild(lines)

    def faults(self) -> Iterator[Fault]:
        """See ``Journal.faults``. Reads everything: about a second per hundred thousand events."""
        yield from faults(self._reader.connection)

    def verify(self) -> list[str]:
        """See ``Journal.verify``."""
        return [fault.sentence for fault in self.faults()]

    def close(self) -> None:
        """See ``Journal.close``."""
        if self._group is not None and self._writer is not None:
            self._group.close()
            self._reader.close()  # before the writer: the last connection to close copies the log into the database
            self._writer.close()
        self._reader.close()
