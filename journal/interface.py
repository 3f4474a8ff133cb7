"""The interface of journals, between the control plane and the storage."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from greenroom.messages.core.errors import JournalError
from greenroom.messages.core.frozen import frozen
from greenroom.messages.records.records import RunStatus

if TYPE_CHECKING:  # for annotations alone: their models cost more than the rest of an import of this
    from greenroom.messages.events.events import AnyEvent

EntryKind: TypeAlias = Literal["run", "session", "schedule"]
"""The kind of an entry in the run index."""
MarkKind: TypeAlias = Literal["message", "dead_letter", "approval", "outgoing", "stranded", "sampled", "unheard"]
"""What marks make findable by name: a message by its key, a dead letter, a question that waits for a person, a message
that was not delivered yet, a run that is parked until its pool works again, an answer that is to be rated, a run that
waits although its program may have more to do."""


@frozen
class RunRow:
    """One line of the run index. Times are seconds since the Unix epoch."""

    id: str
    workflow: str
    app: str
    status: RunStatus
    started_at: float
    updated_at: float
    ended_at: float | None = None
    parent: str | None = None
    reason: str | None = None
    last_seq: int = 0
    """Sequence number of the run's newest event; written by the journal, not by the caller."""
    kind: EntryKind = "run"
    wake_seq: int = 0
    """Apart from the first event, those up to this one are not needed to continue."""
    damaged: bool = False
    """Whether the line is not what was written. It then holds what can be read of it, with the status of a parked
    run."""


@frozen
class Stored:
    """An event as the journal holds it."""

    seq: int
    """Sequence number: 1 for a run's first event, without gaps."""
    event: "AnyEvent"

    @property
    def type(self) -> str:
        """The event's name, such as ``"step.completed"``."""
        return self.event.type

    @property
    def at(self) -> float:
        """When the fact became true, in seconds since the Unix epoch."""
        return self.event.at


@frozen
class Timer:
    """A durable timer of a run."""

    run_id: str
    key: str
    due: float
    """Seconds since the Unix epoch."""


@frozen
class Mark:
    """An event that can be found by a name, without reading the run's other events."""

    run_id: str
    kind: MarkKind
    name: str
    """Unique among the run's marks of this kind."""
    seq: int
    """Sequence number of the event."""


@frozen
class Append:
    """Events of one run, written together or not at all, with the resulting index line, timers and marks."""

    run_id: str
    expected: int
    """Sequence number of the run's newest event as the caller knows it; 0 for a new run."""
    events: "Sequence[AnyEvent]"
    row: RunRow
    timers_set: Sequence[Timer] = ()
    timers_cleared: Sequence[str] = ()
    """Keys of timers."""
    marks_set: Sequence[Mark] = ()
    marks_cleared: Sequence[tuple[MarkKind, str]] = ()
    """Kinds and names of marks."""
    done: Callable[[JournalError | None], None] = field(default=lambda _error: None)
    """Called once, in the writer's thread: with None after the commit of the events, otherwise with the reason why
    there was none. ``SequenceConflict`` and ``EventUnwritable`` concern only this append. After any other error the
    journal accepts nothing more. Must be quick, because all other appends wait for it."""


FaultKind: TypeAlias = Literal["sqlite", "end", "event", "index", "timers", "marks", "blob", "figures", "state"]
"""Where the damage is: in SQLite's own structures, at the journal's end, in an event, in the run index, in the timers
or marks, in a large body, in the sums over events; or in a run whose events contradict the tables."""


@frozen
class Fault:
    """One fault of a journal."""

    kind: FaultKind
    sentence: str
    run_id: str | None = None
    """Id of the run, if it concerns one."""
    event: int | None = None
    """Sequence number of the event, if it concerns one."""


class Ledger(Protocol):
    """An account of runs that a journal keeps up to date: it makes sums of events, and the journal saves the sums."""

    types: "Sequence[str]"
    """The types of events that count. Others need not be added."""

    def add(self, run_id: str, seq: int, events: "Sequence[AnyEvent]") -> None:
        """Count the next events of a run, of which ``seq`` is the first one's sequence number.

        May raise any error for events that contradict each other.
        """
        ...

    def take(self) -> tuple[str, bytes, Mapping[str, str | None]]:
        """Return the sums since the last time, in two parts, and what each run's later events need; None if nothing."""
        ...

    def join(self, parts: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
        """Return the sum of several sums that ``take`` has returned, in two parts as well."""
        ...


class Account(Protocol):
    """The saved sums over a journal's events of runs, and the few events that are newer. Valid in one snapshot."""

    def sums(self) -> list[tuple[str, bytes]] | None:
        """Return all saved sums, each as ``Ledger.take`` has returned it; None if they are damaged."""
        ...

    def later(self, types: "Sequence[str]") -> "Iterator[tuple[str, int, AnyEvent]]":
        """Yield the events of some types that the sums lack, with the ids of their runs and their sequence numbers.

        Raises:
            JournalCorrupt: An event is not what was written.
        """
        ...

    def state(self, run_id: str) -> str | None:
        """Return what ``Ledger.take`` last returned for a run; None if there is nothing or it is damaged."""
        ...

    def events(self, run_id: str, before: int) -> "Iterator[AnyEvent]":
        """Yield a run's events with sequence numbers below ``before``."""
        ...


class Journal(Protocol):
    """An append-only record of runs. ``append`` and all reads are thread-safe."""

    @property
    def epoch(self) -> int:
        """Number of times that this journal was opened for writing. Committed before anything else is written."""
        ...

    def append(self, append: Append) -> None:
        """Queue an append. Never blocks on the disk; one writer commits all queued appends in one transaction."""
        ...

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Return the committed events of a run with sequence numbers above ``after``, checked against the hash chain.

        Args:
            run_id: The run.
            after: Sequence number before the first event to return.
            limit: Most events to return; None for all.
            most_bytes: Stop once the events have this many bytes together; None for no such limit. At least one event
                is returned if there is one.

        Raises:
            JournalCorrupt: The stored data is not what was written.
        """
        ...

    def run(self, run_id: str) -> RunRow | None:
        """Return the index line of a run."""
        ...

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
        """Return index lines, of one kind or of all, the newest entry first.

        With ``after``, only entries that were accepted before the one with this id. With ``strays``, only runs
        whose parent has ended, or is a session.

        Raises:
            LookupError: There is no such entry.
        """
        ...

    def timers(self, before: float | None = None, *, waiting: bool = False) -> list[Timer]:
        """Return the timers due before a moment, or all, soonest first; if ``waiting``, only those of waiting runs."""
        ...

    def marks(self, kind: MarkKind, run_id: str | None = None, name: str | None = None) -> list[Mark]:
        """Return the marks of a kind, of one run or all, of one name or all, by run and then in the order of events.

        Marks of kind ``"message"`` are numerous, and only looked up within one run.
        """
        ...

    def chain(self, run_id: str) -> list[Stored]:
        """Return all events of an entry, checked against each other but not against the index.

        Raises:
            JournalCorrupt: The stored data is not what was written.
        """
        ...

    def entries(self) -> list[str]:
        """Return the ids of all entries with events, even if the index lacks them, the oldest first."""
        ...

    def account(self) -> AbstractContextManager[Account]:
        """Return the sums over the events of all runs, in one snapshot."""
        ...

    def quick_faults(self, busy: Sequence[RunStatus]) -> list[Fault]:
        """Check the tables by which runs are found; see ``greenroom.journal.integrity.quick_check``."""
        ...

    def rebuild(self, lines: Iterable[Append]) -> None:
        """Replace the run index, the timers and the marks. Only before the first append.

        Args:
            lines: One per entry, in the order of ``entries``, without events. The newest sequence number and hash are
                taken from the events.
        """
        ...

    def faults(self) -> Iterator[Fault]:
        """Check everything and yield every fault."""
        ...

    def verify(self) -> list[str]:
        """Check everything and return one sentence per fault; empty if there is none."""
        ...

    def close(self) -> None:
        """Commit what is queued and close the file. Later appends are refused with ``OrchestratorClosed``."""
        ...
