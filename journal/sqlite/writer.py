"""The only connection that writes: a group of appends becomes one transaction."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

from greenroom.journal.append_check import conflict, encode
from greenroom.journal.database import Database
from greenroom.journal.event_lines import ANY_TYPE, LINE_BYTES, lines_for
from greenroom.journal.integrity.checksums import SUM, seal_of, weight_of
from greenroom.journal.integrity.hash_chain import genesis, link
from greenroom.journal.integrity.lost_tail import closing, events_in_all, newest
from greenroom.journal.integrity.reach import ReachFile
from greenroom.journal.integrity.row_sums import is_key
from greenroom.journal.interface import Append, RunRow
from greenroom.journal.sqlite.account import SavedAccount
from greenroom.journal.sqlite.account_keeper import AccountKeeper, NewLedger
from greenroom.journal.sqlite.connections import BUSY_MS, close_untouched
from greenroom.journal.sqlite.errors import translate
from greenroom.journal.sqlite.file import Presence
from greenroom.journal.sqlite.group_commit import Answer, Load
from greenroom.journal.sqlite.held_files import HeldFiles
from greenroom.journal.sqlite.schema import epoch_of
from greenroom.journal.sqlite.transaction import UNCHANGED, TransactionRows, prepare
from greenroom.messages.core.errors import EventUnwritable, JournalError

T = TypeVar("T")
K = TypeVar("K", bound=tuple[str, ...])

HEADS = 10_000
"""Most runs whose newest sequence number and hash are cached; beyond it they are dropped and looked up again."""
MOST_LOOKED_UP = 32
"""Most rows per query. The limit keeps the queries few enough to stay prepared."""
CHECKPOINT_PAGES = 1_000
CHECKPOINT_PAGES_BUSY = 8_000
"""Pages in the log from which on it is copied into the database: when nothing is queued, and at the latest."""


class Query(NamedTuple):
    """A query for the rows with any number of keys."""

    sql: str
    columns: int
    """Number of columns of a key."""


OLD_TIMERS = Query("SELECT run_id, key, due FROM timers WHERE (run_id, key) IN (VALUES {keys})", 2)
OLD_MARKS = Query("SELECT run_id, kind, name, seq FROM marks WHERE (run_id, kind, name) IN (VALUES {keys})", 3)
HEADS_OF = Query("SELECT id, last_seq, head, aside, keys FROM runs WHERE id IN (VALUES {keys})", 1)

CLOSED = (
    "INSERT INTO meta (name, value) SELECT 'closed', ? FROM meta WHERE name = 'epoch' AND value = ? "
    "ON CONFLICT DO UPDATE SET value = excluded.value"
)
"""Records that the newest epoch ended properly, unless it is another's."""


@cache
def _sql(query: Query, keys: int) -> str:
    key = f"({', '.join('?' * query.columns)})"
    return query.sql.format(keys=", ".join([key] * keys))


class Writer:
    """Writes groups of appends. All methods run in the writer's thread, except for opening, rebuilding and closing."""

    def __init__(
        self, connection: Database, path: Path, epoch: int, *, synced: bool, new_ledger: NewLedger | None = None
    ) -> None:
        """Take over a connection from ``open_writer``.

        Args:
            connection: The connection.
            path: The journal's file.
            epoch: The number of the epoch.
            synced: Whether each commit is synced.
            new_ledger: Makes the ledger that counts events; None to leave the saved sums as they are.
        """
        prepare(connection)
        self._connection = connection
        self._path = path
        self._epoch = epoch
        self._presence = Presence(path)
        self._heads: dict[str, tuple[int, bytes]] = {}  # run id to newest sequence number and hash
        self._sums: dict[str, list[int]] = {}  # of the same runs: the sums over timers and marks, and over keys
        self._data_version = connection.pragma("data_version")
        self._pages = 0  # pages written to the log since the last checkpoint
        self._synced = synced
        self._note = ReachFile(path)
        self._lines, self._head = newest(connection)  # number of lines of events, and the hash of the newest
        self._on_disk = self._lines, self._head  # the same for those that are certainly on the disk
        self._events = events_in_all(connection)
        self._given_up = False
        self._committed: Sequence[Append] = ()  # by the last commit
        self._resting = threading.Lock()  # held in quiet moments, which can come before the index is made anew
        self._account = new_ledger and AccountKeeper(connection, path, new_ledger, self._lines, self._check_owner)
        self._held = self._finally(self._hold)

    def _hold(self) -> HeldFiles:
        try:
            return HeldFiles(self._path)
        except OSError:
            self._note.close()
            raise

    def commit(self, group: Sequence[Append]) -> Sequence[Answer]:
        """Write a group in one transaction. Return None or the error for each append. Any exception is final.

        Raises:
            JournalError: The transaction failed, and nothing of it counts.
        """
        answers = self._finally(lambda: self._transaction(group))
        self._committed = (
            group if not any(answers) else [a for a, error in zip(group, answers, strict=True) if not error]
        )
        return answers

    def _transaction(self, group: Sequence[Append]) -> Sequence[Answer]:
        if len(self._heads) > HEADS:
            self._forget()  # only here: later, heads are ahead of the tables
        all_known = False
        while True:
            try:
                return self._write(group, all_known=all_known)
            except apsw.ConstraintError:  # another connection has written, or a timer or mark is not new: both are rare
                version = self._data_version
                self._forget()
                self._check_owner()
                if all_known and self._data_version == version:
                    raise
                all_known = True

    def _write(self, group: Sequence[Append], *, all_known: bool = False) -> Sequence[Answer]:
        """Write a group, and find out what it does to each append.

        Args:
            group: The appends.
            all_known: Whether to look up every timer and mark before it is set. Nearly all have new names.
        """
        connection = self._connection
        self._look_up({append.run_id for append in group if append.run_id not in self._heads})
        changes = _Changes(self._events)
        rows = changes.rows
        rows.add(UNCHANGED, (self._epoch, self._data_version))
        answers = [self._add(append, changes) for append in group]
        for run_id, events in changes.events.items():
            self._add_lines(run_id, events, changes)
        if changes.timers:
            self._change(rows, "timer", OLD_TIMERS, changes.timers, all_known=all_known)
        if changes.marks:
            self._change(rows, "mark", OLD_MARKS, changes.marks, all_known=all_known)
        for run_id, row in changes.runs.items():
            rows.add("run", index_line(row, *self._heads[run_id], *self._sums[run_id]))
        self._presence.check()
        rows.write(connection)
        if changes.lines:  # before the commit is acknowledged
            self._reached(changes)
        self._pages += connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, reset=True)[0]
        return answers

    def _find(self, query: Query, keys: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the rows with these keys."""
        found: list[Any] = []
        for start in range(0, len(keys), MOST_LOOKED_UP):
            part = keys[start : start + MOST_LOOKED_UP]
            found += self._connection.execute(_sql(query, len(part)), list(chain.from_iterable(part))).fetchall()
        return found

    def _change(
        self, rows: TransactionRows, kind: str, old: Query, changes: Mapping[K, float | None], *, all_known: bool
    ) -> None:
        """Clear and set timers or marks, and update the sums of their runs."""
        for line in self._find(old, [key for key, value in changes.items() if all_known or value is None]):
            rows.add(f"no {kind}", line[:-1])
            self._count(line, -1)
        for key, value in changes.items():
            if value is not None:
                rows.add(kind, (*key, value))
                self._count((*key, value), 1)

    def _count(self, line: Sequence[Any], sign: int) -> None:
        sums = self._sums[line[0]]
        place = is_key(line)
        sums[place] = (sums[place] + sign * weight_of(*line)) % SUM

    def _forget(self) -> None:
        """Drop what is cached of runs. It is looked up when needed again."""
        self._heads.clear()
        self._sums.clear()

    def _reached(self, changes: "_Changes") -> None:
        """Note that the journal holds more lines of events."""
        self._lines, self._events, self._head = self._lines + changes.lines, changes.number, changes.head
        if self._synced:
            self._on_disk = self._lines, self._head
        self._note.write(self._epoch, self._lines, self._head, *self._on_disk)

    def _check_owner(self) -> None:
        """Detect commits of another connection. A newer epoch ends this one; others invalidate the cached heads."""
        version = self._connection.execute("PRAGMA data_version").get
        if version == self._data_version:
            return
        self._data_version = version
        self._forget()
        epoch = epoch_of(self._connection)
        if epoch != self._epoch:
            msg = (
                f"another orchestrator has taken over the journal {self._path} (its epoch is {epoch}, this one's was "
                f"{self._epoch}): this one stops"
            )
            raise JournalError(msg)
        self._lines, self._head = newest(self._connection)
        self._events = events_in_all(self._connection)

    def _add(self, append: Append, changes: "_Changes") -> Answer:
        run_id = append.run_id
        seq, head = self._heads[run_id]
        if seq != append.expected:
            return conflict(append, seq)
        try:
            bodies = encode(append)
        except EventUnwritable as error:
            return error
        if bodies:
            changes.events.setdefault(run_id, []).extend(bodies)
            self._heads[run_id] = seq + len(bodies), head  # the hash follows with the line
        changes.runs[run_id] = append.row
        for timer_key in append.timers_cleared:
            changes.timers[run_id, timer_key] = None
        for timer in append.timers_set:
            changes.timers[timer.run_id, timer.key] = float(timer.due)
        for kind, name in append.marks_cleared:
            changes.marks[run_id, kind, name] = None
        for mark in append.marks_set:
            changes.marks[mark.run_id, mark.kind, mark.name] = mark.seq
        return None

    def _add_lines(self, run_id: str, events: Sequence[bytes], changes: "_Changes") -> None:
        """Add the lines for all events of a run that are committed together, and extend its hash chain."""
        last, head = self._heads[run_id]
        before = last - len(events)
        for seq, body in lines_for(before, events):
            head = link(head, seq, body)
            changes.number += seq - before
            before = seq
            text: str | None = body.decode()
            key = None
            if len(body) > LINE_BYTES:
                key = sha256(body).digest()
                changes.rows.add("blob", (key, text))
                text = None
            changes.rows.add("events", (run_id, seq, ANY_TYPE, text, key, head, changes.number))
            changes.lines += 1
        self._heads[run_id] = last, head
        changes.head = head

    def _look_up(self, run_ids: Iterable[str]) -> None:
        """Look up the newest sequence numbers and hashes of some runs."""
        unknown = [(run_id,) for run_id in run_ids]
        for (run_id,) in unknown:
            self._heads[run_id], self._sums[run_id] = (0, genesis(run_id)), [0, 0]
        for run_id, seq, head, aside, keys in self._find(HEADS_OF, unknown):
            self._heads[run_id], self._sums[run_id] = (seq, head), [aside, keys]

    def rebuild(self, lines: Iterable[Append]) -> None:
        """See ``Journal.rebuild``. Before the first commit, in the thread that opened the journal."""
        with self._resting:
            self._finally(lambda: self._rebuild(lines))
            if self._account is not None:
                self._account.restart()

    def _rebuild(self, lines: Iterable[Append]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        self._check_owner()
        connection.execute("DELETE FROM timers; DELETE FROM marks; DELETE FROM runs")
        SavedAccount(connection, self._path).drop()
        newest_of = "SELECT seq, hash FROM event_lines WHERE run_id = ? ORDER BY seq DESC LIMIT 1"
        for append in lines:
            run_id = append.run_id
            self._sums[run_id] = [0, 0]
            rows = TransactionRows()
            timers = {(run_id, timer.key): float(timer.due) for timer in append.timers_set}
            marks = {(run_id, mark.kind, mark.name): mark.seq for mark in append.marks_set}
            self._change(rows, "timer", OLD_TIMERS, timers, all_known=False)
            self._change(rows, "mark", OLD_MARKS, marks, all_known=False)
            seq, head = connection.execute(newest_of, (run_id,)).fetchone()
            rows.add("run", index_line(append.row, seq, head, *self._sums[run_id]))
            rows.write(connection)
        self._forget()
        connection.execute("COMMIT")

    def rest(self, load: Load) -> bool:
        """Count events, and copy the log into the database, after the acknowledgements rather than before.

        The log is copied when it has grown, and in a quiet moment whatever its length. So a journal that is not written
        for a while does not stay in its log.

        Returns:
            Whether there is more to do in a quiet moment.

        Raises:
            JournalError: Copying failed. Everything acknowledged is still in the log.
        """
        if load == "quiet":
            with self._resting:
                return self._finally(self._rest_quietly)
        committed, self._committed = self._committed, ()
        account = self._account
        if account is not None and account.count(committed, self._lines):
            self._finally(lambda: account.rest(self._lines))
        if self._pages >= (CHECKPOINT_PAGES if load == "idle" else CHECKPOINT_PAGES_BUSY):
            self._finally(lambda: self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE))
        return False

    def _rest_quietly(self) -> bool:
        if self._account is not None and self._account.rest(self._lines):
            return True
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return False

    def _checkpoint(self, mode: int) -> bool:
        """Copy the log into the database. Return whether all of it was copied."""
        whole = False
        self._connection.set_busy_timeout(0)  # without waiting: a reader may hold an old snapshot for long
        try:
            with suppress(apsw.BusyError):  # then another process, such as an operator's shell, is doing it
                in_log, copied = self._connection.wal_checkpoint(mode=mode)
                whole = in_log == copied
                if whole and not self._synced:  # a checkpoint syncs what it copies
                    self._on_disk = self._lines, self._head
                    self._note.write(self._epoch, self._lines, self._head, *self._on_disk)
        finally:
            self._connection.set_busy_timeout(BUSY_MS)
        self._pages = 0
        return whole

    def _finally(self, work: Callable[[], T]) -> T:
        """Do something that must not be repeated if it fails: then the connection is given up unchanged."""
        try:
            return work()
        except Exception as error:
            number = self._connection.system_errno if isinstance(error, apsw.Error) else 0
            self._given_up = True
            close_untouched(self._connection)
            if isinstance(error, (apsw.Error, OSError)):
                raise translate(error, self._path, number) from error
            raise

    def close(self) -> None:
        """Close the file. The log is copied into the database and removed, unless another connection still reads."""
        whole = False
        if not self._given_up:
            with suppress(apsw.Error):  # what was acknowledged is safe without it
                self._check_owner()
                self._connection.execute(CLOSED, (closing(self._epoch, self._lines, self._head), self._epoch))
                whole = self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._held.release()
        self._connection.close()
        self._held.close()
        self._note.close()
        if whole:
            self._note.remove()


class _Changes:
    """What one transaction writes."""

    def __init__(self, number: int) -> None:
        self.number = number
        """Number of events of all runs, with those that were added here."""
        self.rows = TransactionRows()
        self.events: dict[str, list[bytes]] = {}
        """Their JSON, by run."""
        self.lines = 0
        """Number of lines for these events."""
        self.head = b""
        """Hash of the newest of them."""
        self.runs: dict[str, RunRow] = {}
        """Only the last index line of a run counts."""
        self.timers: dict[tuple[str, str], float | None] = {}
        """None clears."""
        self.marks: dict[tuple[str, str, str], int | None] = {}
        """None clears."""


def index_line(row: RunRow, seq: int, head: bytes, aside: int, keys: int) -> tuple[Any, ...]:
    """Return the values of an index line, ending with its seal."""
    started, updated = float(row.started_at), float(row.updated_at)
    ended = None if row.ended_at is None else float(row.ended_at)
    names = (row.id, row.workflow, row.app, row.status, started, updated, ended, row.parent, row.reason)
    line = (*names, seq, row.kind, row.wake_seq, aside, keys, head)
    return *line, seal_of(line)
