"""A journal that exists as long as its process: for tests, simulations, and runs that need not survive."""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate

from greenroom.journal.append_check import conflict, encode
from greenroom.journal.interface import Account, Append, EntryKind, Fault, Mark, MarkKind, RunRow, Stored, Timer
from greenroom.journal.sqlite.group_commit import Answer, GroupCommit
from greenroom.messages.codecs.event_codec import decode_event
from greenroom.messages.core.errors import JournalError, OrchestratorClosed
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records.records import ENDED, RunStatus


class MemoryAccount:
    """See ``Account``. All events are newer than what is saved, which is nothing."""

    def __init__(self, bodies: dict[str, list[bytes]]) -> None:
        """Count these events, given as JSON by run."""
        self._bodies = bodies

    def sums(self) -> list[tuple[str, bytes]]:
        """Return nothing."""
        return []

    def state(self, run_id: str) -> str | None:  # noqa: ARG002  nothing is saved
        """Return None."""
        return None

    def later(self, types: Sequence[str]) -> Iterator[tuple[str, int, AnyEvent]]:
        """See ``Account.later``."""
        for run_id, bodies in self._bodies.items():
            for seq, event in enumerate(map(decode_event, bodies), 1):
                if event.type in types:
                    yield run_id, seq, event

    def events(self, run_id: str, before: int) -> Iterator[AnyEvent]:
        """See ``Account.events``."""
        return map(decode_event, self._bodies[run_id][: before - 1])


class MemoryJournal:
    """A journal in memory. It keeps events as bytes of JSON, like other journals, so that reading parses them."""

    def __init__(self) -> None:
        """Begin empty, in epoch 1."""
        self._lock = threading.Lock()  # held by the writer while it applies a group, by readers while they copy
        self._bodies: dict[str, list[bytes]] = {}
        self._rows: dict[str, RunRow] = {}
        self._timers: dict[tuple[str, str], Timer] = {}
        self._marks: dict[tuple[str, MarkKind, str], Mark] = {}
        self._closed = False
        self._group = GroupCommit(self._commit, lambda _load: False, "greenroom-journal")

    def __repr__(self) -> str:
        """Return a description of the content."""
        return f"<MemoryJournal with {len(self._rows)} runs{', closed' if self._closed else ''}>"

    @property
    def epoch(self) -> int:
        """Always 1: a journal in memory is opened once."""
        return 1

    def append(self, append: Append) -> None:
        """See ``Journal.append``.

        Raises:
            OrchestratorClosed: The journal was closed.
        """
        self._group.append(append)

    def _commit(self, group: Sequence[Append]) -> Sequence[Answer]:
        with self._lock:
            return [self._apply(append) for append in group]

    def _apply(self, append: Append) -> Answer:
        bodies = self._bodies.get(append.run_id, [])
        if len(bodies) != append.expected:
            return conflict(append, len(bodies))
        try:
            encoded = encode(append)
        except JournalError as error:
            return error
        self._bodies[append.run_id] = bodies
        bodies += encoded
        self._index(append)
        return None

    def _index(self, append: Append) -> None:
        self._rows[append.row.id] = replace(append.row, last_seq=len(self._bodies[append.run_id]))
        for key in append.timers_cleared:
            self._timers.pop((append.run_id, key), None)
        for timer in append.timers_set:
            self._timers[timer.run_id, timer.key] = timer
        for kind, name in append.marks_cleared:
            self._marks.pop((append.run_id, kind, name), None)
        for mark in append.marks_set:
            self._marks[mark.run_id, mark.kind, mark.name] = mark

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """See ``Journal.events``."""
        self._check_open()
        with self._lock:
            end = None if limit is None else after + limit
            bodies = self._bodies.get(run_id, [])[after:end]
        if most_bytes is not None:
            sizes = accumulate(map(len, bodies))
            bodies = bodies[: next((number for number, size in enumerate(sizes, 1) if size >= most_bytes), None)]
        return [Stored(seq, decode_event(body)) for seq, body in enumerate(bodies, after + 1)]

    def run(self, run_id: str) -> RunRow | None:
        """See ``Journal.run``."""
        self._check_open()
        return self._rows.get(run_id)

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
        self._check_open()
        with self._lock:
            rows = list(reversed(self._rows.values()))
        if after is not None:
            ids = [row.id for row in rows]
            if after not in ids:
                msg = f"there is no entry {after!r}"
                raise LookupError(msg)
            rows = rows[ids.index(after) + 1 :]
        if status is not None:
            rows = [row for row in rows if row.status in status]
        if workflow is not None:
            rows = [row for row in rows if row.workflow == workflow]
        if kind is not None:
            rows = [row for row in rows if row.kind == kind]
        if strays:
            rows = [row for row in rows if row.parent is not None and self._may_leave(row.parent)]
        return rows[:limit]

    def _may_leave(self, parent: str) -> bool:
        row = self.run(parent)
        return row is not None and (row.status in ENDED or row.kind == "session")

    def timers(self, before: float | None = None, *, waiting: bool = False) -> list[Timer]:
        """See ``Journal.timers``. A timer due at exactly that moment is included."""
        self._check_open()
        with self._lock:
            timers = [timer for timer in self._timers.values() if not waiting or self._is_waiting(timer.run_id)]
        timers.sort(key=lambda timer: (timer.due, timer.run_id, timer.key))
        return [timer for timer in timers if before is None or timer.due <= before]

    def _is_waiting(self, run_id: str) -> bool:
        row = self._rows.get(run_id)
        return row is not None and row.status == "waiting"

    def marks(self, kind: MarkKind, run_id: str | None = None, name: str | None = None) -> list[Mark]:
        """See ``Journal.marks``."""
        self._check_open()
        with self._lock:
            marks = [mark for mark in self._marks.values() if mark.kind == kind]
        if run_id is not None:
            marks = [mark for mark in marks if mark.run_id == run_id]
        if name is not None:
            marks = [mark for mark in marks if mark.name == name]
        return sorted(marks, key=lambda mark: (mark.run_id, mark.seq, mark.name))

    def chain(self, run_id: str) -> list[Stored]:
        """See ``Journal.chain``."""
        return self.events(run_id)

    def entries(self) -> list[str]:
        """See ``Journal.entries``."""
        self._check_open()
        with self._lock:
            return list(self._bodies)

    @contextmanager
    def account(self) -> Generator[Account]:
        """See ``Journal.account``. A journal in memory saves no sums."""
        self._check_open()
        with self._lock:
            bodies = {run_id: self._bodies[run_id][:] for run_id, row in self._rows.items() if row.kind == "run"}
        yield MemoryAccount(bodies)

    def quick_faults(self, busy: Sequence[RunStatus]) -> list[Fault]:  # noqa: ARG002  memory does not rot
        """See ``Journal.quick_faults``."""
        return []

    def rebuild(self, lines: Iterable[Append]) -> None:
        """See ``Journal.rebuild``."""
        with self._lock:
            self._rows.clear()
            self._timers.clear()
            self._marks.clear()
            for append in lines:
                self._index(append)

    def faults(self) -> Iterator[Fault]:
        """Yield one fault for each run whose index line disagrees with its events."""
        self._check_open()
        with self._lock:
            counted = [(row, len(self._bodies.get(row.id, []))) for row in self._rows.values()]
        for row, count in counted:
            if count != row.last_seq:
                yield Fault("index", f"run {row.id} has {count} events, its index line says {row.last_seq}", row.id)

    def verify(self) -> list[str]:
        """See ``Journal.verify``."""
        return [fault.sentence for fault in self.faults()]

    def close(self) -> None:
        """See ``Journal.close``."""
        self._group.close()
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            msg = "the journal is closed"
            raise OrchestratorClosed(msg)
