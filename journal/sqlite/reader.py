"""Reading of the SQLite journal: a few read-only connections, lent to any thread."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import apsw

from greenroom.journal.database import Database
from greenroom.journal.event_lines import count_in, numbered
from greenroom.journal.integrity.checksums import seal_of
from greenroom.journal.integrity.hash_chain import genesis, link
from greenroom.journal.integrity.quick_check import RAW_LINES, damaged_row, lines_of
from greenroom.journal.integrity.row_sums import LINES
from greenroom.journal.interface import EntryKind, Mark, MarkKind, RunRow, Stored, Timer
from greenroom.journal.sqlite.account import SavedAccount
from greenroom.journal.sqlite.errors import damaged_event, damaged_line, translate
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import JournalTooNew, OrchestratorClosed, UnknownMessage
from greenroom.messages.records.records import RunStatus

CONNECTIONS = 4
"""Most readers at once; further ones wait. Threads of actors come and go, so none keeps a connection."""

EVENTS = (
    "SELECT e.seq, CAST(coalesce(e.body, b.body) AS BLOB), e.hash "
    "FROM event_lines e LEFT JOIN blobs b ON b.hash = e.blob WHERE e.run_id = ?1 AND e.seq >= coalesce("
    "(SELECT max(seq) FROM event_lines WHERE run_id = ?1 AND seq BETWEEN 1 AND ?2), 0) ORDER BY e.seq"
)
"""The lines of events of a run from the last one on that holds no event above a number."""
FIRST = "SELECT 1 FROM event_lines WHERE run_id = ? LIMIT 1"
TIMER = "SELECT run_id, key, due FROM timers t"
MAY_LEAVE = (
    "EXISTS (SELECT 1 FROM runs p WHERE p.id = runs.parent AND (p.kind = 'session' "
    "OR p.status IN ('completed', 'failed', 'cancelled')))"
)
"""Of a run: its parent has ended, or is a session."""
MARK = "SELECT run_id, kind, name, seq FROM marks"
MOST = 2**63 - 1
"""Largest integer of SQLite."""

LAST_SEQ, HEAD, COLUMNS = 9, 14, 12
"""Positions of these among the columns of ``LINES``, and the number of columns that belong to a ``RunRow``."""

Row: TypeAlias = tuple[Any, bytes | None, bytes]
"""Sequence number, body and hash of a line of events. Damage may have changed the number to anything."""


def _page(found: Iterable[Row], after: int, limit: int | None, most_bytes: int | None) -> tuple[list[Row], bool]:
    """Return rows up to a number of events or bytes above ``after``, and whether there may be more."""
    rows: list[Row] = []
    count = size = 0
    for row in found:
        rows.append(row)
        last, body, _ = row
        if isinstance(last, int) and last > after:
            size += len(body or b"")
            count += min(count_in(body or b""), last - after)
            if (limit is not None and count >= limit) or (most_bytes is not None and size >= most_bytes):
                return rows, True
    return rows, False


def _damage(seq: int, head: bytes | None, last: object, body: bytes | None, stored: object) -> str:
    """Return what is wrong with a line; empty if nothing is.

    Args:
        seq: Sequence number of the line before.
        head: Hash of the line before; None if it is unknown.
        last: Sequence number of this line.
        body: Body of this line.
        stored: Hash of this line.
    """
    if body is None:
        return "its body is missing"
    if not isinstance(last, int) or (head is not None and last - count_in(body) > seq):
        return "it is missing"
    if not isinstance(stored, bytes) or (head is not None and link(head, last, body) != stored):
        return "it is not what was written"
    return ""


class Reader:
    """The reading half of a journal. Thread-safe."""

    def __init__(self, path: Path, connect: Callable[[], Database]) -> None:
        """Open nothing yet. ``connect`` is called when a connection is needed."""
        self._path = path
        self._connect = connect
        self._places: SimpleQueue[None] = SimpleQueue()  # one entry for each connection that may still be lent
        for _ in range(CONNECTIONS):
            self._places.put(None)
        self._idle: deque[Database] = deque()
        self._closed = False

    @contextmanager
    def connection(self) -> Generator[Database]:
        """Lend a connection. Foreign exceptions raised while it is lent become those of this package."""
        self._places.get()
        connection = None
        try:
            if self._closed:
                msg = "the journal is closed"
                raise OrchestratorClosed(msg)
            with suppress(IndexError):
                connection = self._idle.pop()
            connection = connection or self._connect()
            yield connection
        except (apsw.Error, OSError, UnicodeDecodeError) as error:
            number = connection.system_errno if connection and isinstance(error, apsw.Error) else 0
            raise translate(error, self._path, number) from error
        finally:
            if connection:
                self._idle.append(connection)
            if self._closed:  # perhaps only since this one was lent
                self._close_idle()
            self._places.put(None)

    def events(self, run_id: str, after: int, limit: int | None, most_bytes: int | None = None) -> list[Stored]:
        """See ``Journal.events``."""
        with self.connection() as connection:
            connection.execute("BEGIN")  # one snapshot, in which events and index line agree
            try:
                line = connection.execute(f"{RAW_LINES} WHERE id = ?", (run_id,)).fetchall()
                rows, cut = _page(connection.execute(EVENTS, (run_id, after)), after, limit, most_bytes)
            finally:
                connection.execute("ROLLBACK")
        self._check(run_id, after, rows, line, whole=not cut)
        return list(islice(self._decoded(run_id, after, rows), limit))

    def _decoded(self, run_id: str, after: int, rows: list[Row]) -> Iterator[Stored]:
        """Yield the events in checked rows with sequence numbers above ``after``. Empties the list of rows."""
        rows.reverse()
        while rows:  # decoded rows are released
            last, body, _ = rows.pop()
            if last > after:
                for seq, each in numbered(last, body or b""):
                    if seq > after:
                        yield Stored(seq, self._decode(run_id, seq, each))

    def _check(self, run_id: str, after: int, rows: list[Any], lines: list[Any], *, whole: bool) -> None:
        """Check rows, including the one before the first wanted, against the hash chain and the index line."""
        seq, head = 0, genesis(run_id)
        for position, (last, body, stored) in enumerate(rows):
            is_before = position == 0 and isinstance(last, int) and 0 < last <= after
            if how := _damage(seq, None if is_before else head, last, body, stored):
                raise damaged_event(self._path, run_id, last if is_before else seq + 1, how)
            seq, head = last, stored
        for line in lines if whole else ():
            last_seq, last_head = line[LAST_SEQ], line[HEAD]
            if seq < last_seq:
                raise damaged_event(self._path, run_id, seq + 1, "it is missing")
            if rows and seq > last_seq:
                raise damaged_line(self._path, run_id)
            if rows and head != last_head:
                raise damaged_event(self._path, run_id, seq, "its hash is not the one in the index")

    def chain(self, run_id: str) -> list[Stored]:
        """See ``Journal.chain``."""
        with self.connection() as connection:
            rows = connection.execute(EVENTS, (run_id, 0)).fetchall()
        self._check(run_id, 0, rows, [], whole=True)
        return list(self._decoded(run_id, 0, rows))

    def _decode(self, run_id: str, seq: int, body: bytes) -> Any:
        try:
            return decode_event(body)
        except UnknownMessage as error:
            msg = (
                f"event {seq} of run {run_id} in the journal {self._path} is whole but of no form this version knows "
                f"({error}): upgrade greenroom"
            )
            raise JournalTooNew(msg) from error

    def run(self, run_id: str) -> RunRow | None:
        """See ``Journal.run``."""
        with self.connection() as connection:
            try:
                rows = connection.execute(f"{LINES} WHERE id = ?", (run_id,)).fetchall()
            except UnicodeDecodeError:  # in one of its texts
                raise damaged_line(self._path, run_id) from None
            # The entry's number in the table may be damaged; the number of its events is found separately.
            if not rows and connection.execute(FIRST, (run_id,)).fetchone():
                rows = connection.execute(f"{LINES} WHERE id = ?", (run_id,)).fetchall()
                if not rows:  # nor have both been written since the first look
                    raise damaged_line(self._path, run_id)
        for *line, seal in rows:
            if seal_of(line) != seal:
                raise damaged_line(self._path, run_id)
            return RunRow(*line[:COLUMNS])
        return None

    def runs(
        self,
        status: Sequence[RunStatus] | None,
        workflow: str | None,
        kind: EntryKind | None,
        limit: int | None,
        after: str | None = None,
        *,
        strays: bool = False,
    ) -> list[RunRow]:
        """See ``Journal.runs``."""
        conditions: list[str] = []
        values: list[Any] = []
        if status is not None:
            conditions.append(f"status IN ({', '.join('?' * len(status))})")
            values += status
        if workflow is not None:
            conditions.append("workflow = ?")
            values.append(workflow)
        if kind is not None:
            conditions.append("kind = ?")
            values.append(kind)
        if strays:
            conditions += ["parent IS NOT NULL", MAY_LEAVE]
        if after is not None:
            conditions.append("number < ?")
            values.append(self._number(after))
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        values.append(-1 if limit is None else min(limit, MOST))
        rest = f"{where} ORDER BY number DESC LIMIT ?"
        with self.connection() as connection:
            try:
                rows = connection.execute(f"{LINES} {rest}", values).fetchall()
            except UnicodeDecodeError:  # in one of the lines
                lines = lines_of(connection.execute(f"{RAW_LINES} {rest}", values).fetchall())
                return [RunRow(*line[:COLUMNS]) if good else damaged_row(line) for line, good in lines]
        return [RunRow(*row[:COLUMNS]) if seal_of(row[:-1]) == row[-1] else damaged_row(row[:-1]) for row in rows]

    def _number(self, run_id: str) -> int:
        """Return an entry's number in order of acceptance. The rest of its line may be damaged."""
        with self.connection() as connection:
            row = connection.execute("SELECT number FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            msg = f"there is no entry {run_id!r}"
            raise LookupError(msg)
        return int(row[0])

    def timers(self, before: float | None, *, waiting: bool) -> list[Timer]:
        """See ``Journal.timers``."""
        asleep = "JOIN runs r ON r.id = t.run_id AND r.status = 'waiting'" if waiting else ""
        query = f"{TIMER} {asleep} WHERE due <= ? ORDER BY due, run_id, key"
        with self.connection() as connection:
            rows = connection.execute(query, (float("inf") if before is None else before,)).fetchall()
        return [Timer(*row) for row in rows]

    def marks(self, kind: MarkKind, run_id: str | None, name: str | None) -> list[Mark]:
        """See ``Journal.marks``."""
        conditions, values = ["kind = ?"], [str(kind)]
        if run_id is not None:
            conditions.append("run_id = ?")
            values.append(run_id)
        if name is not None:
            conditions.append("name = ?")
            values.append(name)
        if kind != "message":
            conditions.append("kind <> 'message'")  # the condition of the index over all runs' marks
        query = f"{MARK} WHERE {' AND '.join(conditions)} ORDER BY run_id, seq, name"
        with self.connection() as connection:
            rows = connection.execute(query, values).fetchall()
        return [Mark(*row) for row in rows]

    @contextmanager
    def account(self) -> Generator[SavedAccount]:
        """See ``Journal.account``."""
        with self.connection() as connection:
            connection.execute("BEGIN")
            try:
                yield SavedAccount(connection, self._path)
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the idle connections now, and the lent ones when they come back. Refuse later requests."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close(force=True)
