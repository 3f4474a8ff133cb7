"""Keeps the saved sums over events up to date, in the writer's thread, after appends have been acknowledged.

Events that this writer commits are counted from memory. Those that were committed before, such as all events of a
journal of an older version, are read from the file: little by little, so that no append waits for long.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from greenroom.journal.database import Database
from greenroom.journal.interface import Append, Ledger
from greenroom.journal.sqlite.account import SavedAccount

NewLedger: TypeAlias = Callable[[SavedAccount], Ledger]

EVERY: Final = 2_000
"""Events after which sums are saved. A reader counts up to as many by itself, which takes some ten milliseconds."""
JOINED: Final = 64
"""Lines that are joined to one, so that a reader finds few."""
SLICE: Final = 100
"""Most lines that are read from the file between two looks for appends; while appends come, twice as many as come."""
SLICE_BYTES: Final = 1024 * 1024
EAGER: Final = 500
"""Lines of this writer from which on it reads earlier ones even while appends come. Short-lived ones leave it."""


class AccountKeeper:
    """Counts committed events, and saves the sums. Not thread-safe.

    Args:
        connection: The writer's connection.
        path: The journal's file.
        new_ledger: Makes the ledger that counts, when it is first needed.
        lines: Number of lines of events that the journal holds.
        check_owner: Raises if another orchestrator has taken the journal over. Called within a transaction.
    """

    def __init__(
        self, connection: Database, path: Path, new_ledger: NewLedger, lines: int, check_owner: Callable[[], None]
    ) -> None:
        """Read nothing yet."""
        self._connection = connection
        self._saved = SavedAccount(connection, path)
        self._new_ledger = new_ledger
        self._check_owner = check_owner
        self._ledger: Ledger | None = None
        self._upto = 0  # number of lines of events in the saved sums
        self._position = 0  # number of lines that are counted
        self._unsaved = 0  # number of events in the lines between these
        self._first = self._known = self._rested = lines
        """Number of the journal's lines when this began, at the last count, and at the last rest."""
        self._looked = False
        self._given_up = False

    def count(self, appends: Sequence[Append], lines: int) -> bool:
        """Count what was committed. Return whether ``rest`` has something to do.

        Args:
            appends: The newest committed appends.
            lines: Number of lines of events that the journal holds with them.
        """
        before, self._known = self._known, lines
        if self._given_up:
            return False
        ledger = self._ledger
        if ledger is None and not self._looked and self._is_counted_up_to(before):
            ledger = self._opened()
        if ledger is None or self._position != before:
            return lines - self._first >= EAGER
        try:
            for append in appends:
                if append.row.kind == "run":
                    ledger.add(append.run_id, append.expected + 1, append.events)
                    self._unsaved += len(append.events)
        except Exception:  # noqa: BLE001  these events cannot be counted; a reader of figures says why
            self._given_up = True
        self._position = lines
        return self._unsaved >= EVERY or lines - self._upto >= EVERY  # lines of sessions hold nothing that counts

    def _is_counted_up_to(self, lines: int) -> bool:
        """Return whether the saved sums are about this number of lines. Looks only once."""
        self._looked = True
        return self._saved.upto == lines

    def rest(self, lines: int) -> bool:
        """Read some of the events that were not counted, and save the sums if they have grown.

        Args:
            lines: Number of lines of events that the journal holds.

        Returns:
            Whether there are more events to read.
        """
        if self._given_up:
            return False
        try:
            ledger = self._ledger or self._opened()
            if self._position < lines:
                self._catch_up(ledger, lines, max(SLICE, 2 * (lines - self._rested)))
        except apsw.Error:
            raise
        except Exception:  # noqa: BLE001  as above
            self._given_up = True
            return False
        self._rested = lines
        if self._unsaved >= EVERY or self._position - self._upto >= EVERY:
            self._save(ledger)
        return self._position < lines

    def restart(self) -> None:
        """Count all events anew, because the saved sums were deleted."""
        self._ledger = None
        self._given_up = False

    def _opened(self) -> Ledger:
        """Return a new ledger, which continues from the saved sums unless they are damaged."""
        if self._saved.sums() is None:
            self._saved.drop()
        self._upto = self._position = self._saved.upto
        self._unsaved = 0
        self._ledger = self._new_ledger(self._saved)
        return self._ledger

    def _catch_up(self, ledger: Ledger, lines: int, most: int) -> None:
        """Count some of the events that were committed before."""
        size = 0
        for count, each in enumerate(self._saved.between(self._position, lines, ledger.types), 1):
            ledger.add(each.run_id, each.seq, each.events)
            self._unsaved += len(each.events)
            self._position = each.number
            size += each.size
            if count >= most or size >= SLICE_BYTES:
                return
        self._position = lines

    def _save(self, ledger: Ledger) -> None:
        """Save the sums in a transaction of their own; later, if another process has locked the file."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            return
        self._check_owner()
        self._saved.save(self._upto, self._position, *ledger.take())
        self._upto, self._unsaved = self._position, 0
        if not self._saved.join(EVERY * JOINED, JOINED, ledger.join):
            self._saved.drop()
            self.restart()
        self._connection.execute("COMMIT")
