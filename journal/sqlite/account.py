"""The saved sums over a journal's events of runs: reading, saving, and joining of their lines."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from greenroom.journal.database import Database
from greenroom.journal.event_lines import ANY_TYPE, numbered
from greenroom.journal.integrity.figure_lines import LINES, faulty, seal
from greenroom.journal.integrity.hash_chain import genesis, link
from greenroom.journal.integrity.lost_tail import newest
from greenroom.journal.sqlite.errors import damaged_event
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import JournalTooNew, UnknownMessage
from greenroom.messages.events.events import AnyEvent

Join: TypeAlias = Callable[[Sequence[tuple[str, bytes]]], tuple[str, bytes]]
_LATER: Final = (
    "SELECT e.rowid, e.run_id, e.seq, CAST(coalesce(e.body, b.body) AS BLOB), e.hash, "
    "(SELECT hash FROM event_lines p WHERE p.run_id = e.run_id AND p.seq < e.seq ORDER BY p.seq DESC LIMIT 1) "
    "FROM event_lines e CROSS JOIN runs r ON r.id = e.run_id AND r.kind = 'run' LEFT JOIN blobs b ON b.hash = e.blob "
    "WHERE e.rowid > ? AND e.rowid <= ? AND e.type IN (SELECT value FROM json_each(?)) ORDER BY e.rowid"
)
_EARLIER: Final = (
    "SELECT e.seq, CAST(coalesce(e.body, b.body) AS BLOB) FROM event_lines e LEFT JOIN blobs b ON b.hash = e.blob "
    "WHERE e.run_id = ? ORDER BY e.seq"
)
_STATE: Final = "SELECT state, seal, upto FROM figure_runs WHERE run_id = ? AND upto <= (SELECT max(upto) FROM figures)"


class Counted(NamedTuple):
    """A line of events of which at least one may count."""

    number: int
    """Its number among the lines of events of all runs."""
    run_id: str
    seq: int
    """Sequence number of its first event."""
    events: Sequence[AnyEvent]
    size: int
    """Bytes of their JSON."""


class SavedAccount:
    """See ``Account``. Belongs to a connection, and to its user's thread."""

    def __init__(self, connection: Database, path: Path) -> None:
        """Read from a connection to the journal at ``path``."""
        self._connection = connection
        self._path = path

    @property
    def upto(self) -> int:
        """Number of lines of events that the saved sums are about."""
        return int(self._connection.execute("SELECT coalesce(max(upto), 0) FROM figures").get)

    def sums(self) -> list[tuple[str, bytes]] | None:
        """See ``Account.sums``."""
        try:
            lines = self._connection.execute(f"{LINES} ORDER BY upto").fetchall()
        except UnicodeDecodeError:
            return None
        if faulty(lines) or (lines and lines[-1][0] > newest(self._connection)[0]):
            return None
        return [(sums, durations) for _, _, sums, durations, _ in lines]

    def later(self, types: Sequence[str]) -> Iterator[tuple[str, int, AnyEvent]]:
        """See ``Account.later``."""
        for each in self.between(self.upto, newest(self._connection)[0], types):
            for seq, event in enumerate(each.events, each.seq):
                yield each.run_id, seq, event

    def between(self, after: int, upto: int, types: Sequence[str]) -> Iterator[Counted]:
        """Yield lines of events whose numbers among all are above ``after``, up to ``upto``.

        Lines of which it is known that they hold no event of some types are passed over.

        Raises:
            JournalCorrupt: A line is not what was written.
        """
        for number, run_id, last, body, head, before in self._connection.execute(
            _LATER, (after, upto, json.dumps([*types, ANY_TYPE]))
        ):
            found = list(numbered(last, body or b""))
            seq = found[0][0]
            previous = genesis(run_id) if seq == 1 else before
            if body is None or not isinstance(previous, bytes) or link(previous, last, body) != head:
                raise damaged_event(self._path, run_id, seq, "it is not what was written")
            events = [self._decoded(run_id, each, event) for each, event in found]
            yield Counted(number, run_id, seq, events, len(body))

    def state(self, run_id: str) -> str | None:
        """See ``Account.state``."""
        found = self._connection.execute(_STATE, (run_id,)).fetchone()
        if found is None or seal(run_id, found[2], found[0]) != found[1]:
            return None
        return str(found[0])

    def events(self, run_id: str, before: int) -> Iterator[AnyEvent]:
        """See ``Account.events``."""
        for last, body in self._connection.execute(_EARLIER, (run_id,)):
            for seq, each in numbered(last, body or b""):
                if seq >= before:
                    return
                yield self._decoded(run_id, seq, each)

    def _decoded(self, run_id: str, seq: int, body: bytes) -> AnyEvent:
        try:
            return decode_event(body)
        except UnknownMessage as error:
            msg = f"event {seq} of run {run_id} in the journal {self._path} is of no form this version knows ({error})"
            raise JournalTooNew(msg) from error

    # ------------------------------------------------------------ writing, within a transaction

    def save(self, since: int, upto: int, sums: str, durations: bytes, states: Mapping[str, str | None]) -> None:
        """Save sums over the lines of events after ``since`` up to ``upto``."""
        execute = self._connection.execute
        line = (upto, since, sums, durations)
        execute("INSERT INTO figures (upto, since, sums, durations, seal) VALUES (?, ?, ?, ?, ?)", (*line, seal(*line)))
        for run_id, state in states.items():
            if state is None:
                execute("DELETE FROM figure_runs WHERE run_id = ?", (run_id,))
            else:
                whole = (run_id, upto, state, seal(run_id, upto, state))
                execute("INSERT OR REPLACE INTO figure_runs (run_id, upto, state, seal) VALUES (?, ?, ?, ?)", whole)

    def join(self, long: int, most: int, join: Join) -> bool:
        """Join the newest lines to one, if ``most`` of them are about fewer than ``long`` lines of events.

        A line about more, such as those of a long run that was forked at once, stays as it is, and so do the
        lines before it.

        Returns:
            False if one of them is damaged; then nothing was done.
        """
        execute = self._connection.execute
        after = execute("SELECT coalesce(max(upto), 0) FROM figures WHERE upto - since >= ?", (long,)).get
        if execute("SELECT count(*) FROM figures WHERE since >= ?", (after,)).get < most:
            return True
        lines = execute(f"{LINES} WHERE since >= ? ORDER BY upto", (after,)).fetchall()
        first, last = lines[0][1], lines[-1][0]
        if faulty(lines, first):
            return False
        execute("DELETE FROM figures WHERE since >= ?", (after,))
        self.save(first, last, *join([(sums, durations) for _, _, sums, durations, _ in lines]), {})
        return True

    def drop(self) -> None:
        """Delete everything, so that all events are counted anew."""
        self._connection.execute("DELETE FROM figure_runs; DELETE FROM figures")
