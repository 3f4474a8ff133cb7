"""The only connection that writes: a group of appends becomes one transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

from greenroom.journal.append_check import conflict, encode
from greenroom.journal.database import Database
from greenroom.journal.integrity.checksums import SUM, seal_of, weight_of
from greenroom.journal.integrity.hash_chain import genesis, link
from greenroom.journal.integrity.lost_tail import closing, newest
from greenroom.journal.integrity.reach import ReachFile
from greenroom.journal.integrity.row_sums import is_key
from greenroom.journal.interface import Append, RunRow
from greenroom.journal.sqlite.connections import BUSY_MS, close_untouched
from greenroom.journal.sqlite.errors import translate
from greenroom.journal.sqlite.file import Presence
from greenroom.journal.sqlite.group_commit import Answer, Load
from greenroom.journal.sqlite.schema import epoch_of
from greenroom.messages.core.errors import EventUnwritable, JournalError

T = TypeVar("T")
K = TypeVar("K", bound=tuple[str, ...])

BLOB_BYTES = 64 * 1024
"""Bodies longer than this go into the blob table."""
HEADS = 10_000
"""Most runs whose newest sequence number and hash are cached; beyond it they are dropped and looked up again."""
LINES = 32
"""Most rows per statement. Many rows in one statement are several times cheaper than one statement per row, and the
interpreter's lock is released once instead of once per row. The limit keeps the statements few enough to stay
prepared."""
CHECKPOINT_PAGES = 1_000
CHECKPOINT_PAGES_BUSY = 8_000
"""Pages in the log from which on it is copied into the database: when nothing is queued, and at the latest."""


class Table(NamedTuple):
    """A statement that accepts any number of rows at once."""

    sql: str
    columns: int


EVENTS = Table("INSERT INTO events (run_id, seq, at, type, body, blob, hash) VALUES {lines}", 7)
BLOBS = Table("INSERT INTO blobs (hash, body) VALUES {lines} ON CONFLICT DO NOTHING", 2)
RUNS = Table(
    "INSERT INTO runs (id, workflow, app, status, started_at, updated_at, ended_at, parent, reason, last_seq, kind, "
    "wake_seq, aside, keys, head, seal) VALUES {lines} ON CONFLICT (id) DO UPDATE SET (workflow, app, status, "
    "started_at, updated_at, ended_at, parent, reason, last_seq, kind, wake_seq, aside, keys, head, seal) = "
    "(excluded.workflow, excluded.app, excluded.status, excluded.started_at, excluded.updated_at, excluded.ended_at, "
    "excluded.parent, excluded.reason, excluded.last_seq, excluded.kind, excluded.wake_seq, excluded.aside, "
    "excluded.keys, excluded.head, excluded.seal)",
    16,
)
TIMERS = Table("INSERT INTO timers (run_id, key, due) VALUES {lines}", 3)
OLD_TIMERS = Table("SELECT run_id, key, due FROM timers WHERE (run_id, key) IN (VALUES {lines})", 2)
NO_TIMERS = Table("DELETE FROM timers WHERE (run_id, key) IN (VALUES {lines})", 2)
MARKS = Table("INSERT INTO marks (run_id, kind, name, seq) VALUES {lines}", 4)
OLD_MARKS = Table("SELECT run_id, kind, name, seq FROM marks WHERE (run_id, kind, name) IN (VALUES {lines})", 3)
NO_MARKS = Table("DELETE FROM marks WHERE (run_id, kind, name) IN (VALUES {lines})", 3)
"""Returns the weights of cleared or replaced rows, to be subtracted from a sum."""

CLOSED = (
    "INSERT INTO meta (name, value) SELECT 'closed', ? FROM meta WHERE name = 'epoch' AND value = ? "
    "ON CONFLICT DO UPDATE SET value = excluded.value"
)
"""Records that the newest epoch ended properly, unless it is another's."""

HEADS_OF = Table("SELECT id, last_seq, head, aside, keys FROM runs WHERE id IN (VALUES {lines})", 1)


@cache
def _statement(table: Table, lines: int) -> str:
    line = f"({', '.join('?' * table.columns)})"
    return table.sql.format(lines=", ".join([line] * lines))


class Writer:
    """Writes groups of appends. Every method runs in the writer's thread, except for opening and closing."""

    def __init__(self, connection: Database, path: Path, epoch: int, *, synced: bool) -> None:
        """Take over a connection from ``open_writer``. ``synced``: whether each commit is synced."""
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
        self._events, self._head = newest(connection)  # number of events, and the hash of the newest
        self._on_disk = self._events, self._head  # the same for those that are certainly on the disk
        self._given_up = False

    def commit(self, group: Sequence[Append]) -> Sequence[Answer]:
        """Write a group in one transaction. Return None or the error for each append. Any exception is final.

        Raises:
            JournalError: The transaction failed, and nothing of it counts.
        """
        return self._finally(lambda: self._transaction(group))

    def _transaction(self, group: Sequence[Append]) -> Sequence[Answer]:
        connection = self._connection
        if len(self._heads) > HEADS:
            self._forget()  # only here: later, heads are ahead of the tables
        connection.execute("BEGIN IMMEDIATE")
        self._check_owner()
        if unknown := {append.run_id for append in group} - self._heads.keys():
            self._look_up(unknown)
        lines = _Lines()
        answers = [self._add(append, lines) for append in group]
        if lines.blobs:
            self._put(BLOBS, lines.blobs)
        self._put(EVENTS, lines.events)
        if lines.timers:
            self._change(OLD_TIMERS, NO_TIMERS, TIMERS, lines.timers)
        if lines.marks:
            self._change(OLD_MARKS, NO_MARKS, MARKS, lines.marks)
        index: list[Any] = []
        for run_id, (row, seq, head) in lines.runs.items():
            index += index_line(row, seq, head, *self._sums[run_id])
        self._put(RUNS, index)
        self._presence.check()
        connection.execute("COMMIT")
        if lines.events:  # before the commit is acknowledged
            self._reached(len(lines.events) // EVENTS.columns, lines.events[-1])
        self._pages += connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, reset=True)[0]
        return answers

    def _put(self, table: Table, values: list[Any]) -> list[Any]:
        """Run a statement for all its rows and return its results."""
        found: list[Any] = []
        size = table.columns * LINES
        for start in range(0, len(values), size):
            part = values[start : start + size]
            found += self._connection.execute(_statement(table, len(part) // table.columns), part).fetchall()
        return found

    def _change(self, old: Table, clear: Table, put: Table, changes: Mapping[K, float | None]) -> None:
        """Clear and set timers or marks, and update the sums of their runs."""
        self._take(old, clear, [key for key, value in changes.items() if value is None])
        kept = [(*key, value) for key, value in changes.items() if value is not None]
        values = list(chain.from_iterable(kept))
        try:
            self._put(put, values)
        except apsw.ConstraintError:  # some are already set, which is rare: nearly all have unique names
            self._take(old, clear, [key for key, value in changes.items() if value is not None])
            self._put(put, values)
        for line in kept:
            self._count(line, 1)

    def _take(self, old: Table, clear: Table, keys: list[K]) -> None:
        """Clear rows that exist."""
        gone = self._put(old, list(chain.from_iterable(keys)))
        self._put(clear, [column for line in gone for column in line[:-1]])
        for line in gone:
            self._count(line, -1)

    def _count(self, line: Sequence[Any], sign: int) -> None:
        sums = self._sums[line[0]]
        place = is_key(line)
        sums[place] = (sums[place] + sign * weight_of(*line)) % SUM

    def _forget(self) -> None:
        """Drop what is cached of runs. It is looked up when needed again."""
        self._heads.clear()
        self._sums.clear()

    def _reached(self, more: int, head: bytes) -> None:
        """Note that the journal holds ``more`` events, of which the newest has this hash."""
        self._events, self._head = self._events + more, head
        if self._synced:
            self._on_disk = self._events, head
        self._note.write(self._epoch, self._events, head, *self._on_disk)

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
        self._events, self._head = newest(self._connection)

    def _add(self, append: Append, lines: "_Lines") -> Answer:
        run_id = append.run_id
        seq, head = self._heads[run_id]
        if seq != append.expected:
            return conflict(append, seq)
        try:
            bodies = encode(append)
        except EventUnwritable as error:
            return error
        events = lines.events
        for event, body in zip(append.events, bodies, strict=True):
            seq += 1
            head = link(head, seq, body)
            if len(body) <= BLOB_BYTES:
                events += (run_id, seq, event.at, event.type, body.decode(), None, head)
            else:
                key = sha256(body).digest()
                lines.blobs += (key, body.decode())
                events += (run_id, seq, event.at, event.type, None, key, head)
        self._heads[run_id] = seq, head
        lines.runs[run_id] = append.row, seq, head
        for timer_key in append.timers_cleared:
            lines.timers[run_id, timer_key] = None
        for timer in append.timers_set:
            lines.timers[timer.run_id, timer.key] = float(timer.due)
        for kind, name in append.marks_cleared:
            lines.marks[run_id, kind, name] = None
        for mark in append.marks_set:
            lines.marks[mark.run_id, mark.kind, mark.name] = mark.seq
        return None

    def _look_up(self, run_ids: AbstractSet[str]) -> None:
        """Look up the newest sequence numbers and hashes of some runs, in one query."""
        unknown = list(run_ids)
        self._heads.update((run_id, (0, genesis(run_id))) for run_id in unknown)
        self._sums.update((run_id, [0, 0]) for run_id in unknown)
        for start in range(0, len(unknown), LINES):
            part = unknown[start : start + LINES]
            found = self._connection.execute(_statement(HEADS_OF, len(part)), part)
            for run_id, seq, head, aside, keys in found:
                self._heads[run_id], self._sums[run_id] = (seq, head), [aside, keys]

    def rebuild(self, lines: Iterable[Append]) -> None:
        """See ``Journal.rebuild``. Before the first commit, in the thread that opened the journal."""
        self._finally(lambda: self._rebuild(lines))

    def _rebuild(self, lines: Iterable[Append]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        self._check_owner()
        connection.execute("DELETE FROM timers; DELETE FROM marks; DELETE FROM runs")
        newest_of = "SELECT seq, hash FROM events WHERE run_id = ? ORDER BY seq DESC LIMIT 1"
        for append in lines:
            run_id = append.run_id
            self._sums[run_id] = [0, 0]
            timers = {(run_id, timer.key): float(timer.due) for timer in append.timers_set}
            marks = {(run_id, mark.kind, mark.name): mark.seq for mark in append.marks_set}
            self._change(OLD_TIMERS, NO_TIMERS, TIMERS, timers)
            self._change(OLD_MARKS, NO_MARKS, MARKS, marks)
            seq, head = connection.execute(newest_of, (run_id,)).fetchone()
            self._put(RUNS, list(index_line(append.row, seq, head, *self._sums[run_id])))
        self._forget()
        connection.execute("COMMIT")

    def rest(self, load: Load) -> None:
        """Copy the log into the database, after the acknowledgements rather than before.

        This is done when the log has grown, and in a quiet moment whatever its length. So a journal that is not written
        for a while does not stay in its log.

        Raises:
            JournalError: Copying failed. Everything acknowledged is still in the log.
        """
        if load == "quiet":
            self._finally(lambda: self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE))
        elif self._pages >= (CHECKPOINT_PAGES if load == "idle" else CHECKPOINT_PAGES_BUSY):
            self._finally(lambda: self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE))

    def _checkpoint(self, mode: int) -> bool:
        """Copy the log into the database. Return whether all of it was copied."""
        whole = False
        self._connection.set_busy_timeout(0)  # without waiting: a reader may hold an old snapshot for long
        try:
            with suppress(apsw.BusyError):  # then another process, such as an operator's shell, is doing it
                in_log, copied = self._connection.wal_checkpoint(mode=mode)
                whole = in_log == copied
                if whole and not self._synced:  # a checkpoint syncs what it copies
                    self._on_disk = self._events, self._head
                    self._note.write(self._epoch, self._events, self._head, *self._on_disk)
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
                self._connection.execute(CLOSED, (closing(self._epoch, self._events, self._head), self._epoch))
                whole = self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._connection.close()
        self._note.close()
        if whole:
            self._note.remove()


class _Lines:
    """The rows of one transaction."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.blobs: list[Any] = []
        self.runs: dict[str, tuple[RunRow, int, bytes]] = {}  # only the last index line of a run counts
        self.timers: dict[tuple[str, str], float | None] = {}  # None clears
        self.marks: dict[tuple[str, str, str], int | None] = {}  # None clears


def index_line(row: RunRow, seq: int, head: bytes, aside: int, keys: int) -> tuple[Any, ...]:
    """Return the values of an index line, ending with its seal."""
    started, updated = float(row.started_at), float(row.updated_at)
    ended = None if row.ended_at is None else float(row.ended_at)
    names = (row.id, row.workflow, row.app, row.status, started, updated, ended, row.parent, row.reason)
    line = (*names, seq, row.kind, row.wake_seq, aside, keys, head)
    return *line, seal_of(line)
