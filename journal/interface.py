"""The seam between the control plane and the disk: what every journal promises."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from typing import Literal, Protocol, TypeAlias

from greenroom.messages.core.errors import JournalError
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records import RunStatus

EntryKind: TypeAlias = Literal["run", "session", "schedule"]
"""What an entry of the run index is."""
MarkKind: TypeAlias = Literal["message", "dead_letter", "approval", "outgoing", "stranded"]
"""What is looked for by name: a message by its key, one that was set aside, a question that waits for a person, a
message that has not arrived where it was sent, a run that is parked until a pool works again."""


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
    """Events up to this one are not needed to go on, apart from the first."""
    damaged: bool = False
    """Whether the line is not what was written: then it shows what can be read of it, as of a parked run."""


@frozen
class Stored:
    """An event as the journal holds it."""

    seq: int
    """1 for a run's first event, and no gaps."""
    event: AnyEvent

    @property
    def type(self) -> str:
        """The event's name, such as ``"step.completed"``."""
        return self.event.type

    @property
    def at(self) -> float:
        """When it became true, in seconds since the Unix epoch."""
        return self.event.at


@frozen
class Timer:
    """A durable wake-up time of a run."""

    run_id: str
    key: str
    due: float
    """Seconds since the Unix epoch."""


@frozen
class Mark:
    """An event that can be found by a name, without a look through the run's others."""

    run_id: str
    kind: MarkKind
    name: str
    """Unique among the marks of this kind in the run."""
    seq: int
    """Of the event."""


@frozen
class Append:
    """Events of one run, to be written together or not at all, with the index line and timers they lead to."""

    run_id: str
    expected: int
    """Sequence number of the run's newest event as the caller knows it; 0 for a new run."""
    events: Sequence[AnyEvent]
    row: RunRow
    timers_set: Sequence[Timer] = ()
    timers_cleared: Sequence[str] = ()
    """Keys."""
    marks_set: Sequence[Mark] = ()
    marks_cleared: Sequence[tuple[MarkKind, str]] = ()
    """Kinds and names."""
    done: Callable[[JournalError | None], None] = field(default=lambda _error: None)
    """Called once, in the writer's thread: None after the commit that holds the events, else why there was none. After
    any error but ``SequenceConflict`` and ``EventUnwritable``, which concern this append alone, the journal takes
    nothing more. Must be quick: everybody else waits for it."""


FaultKind: TypeAlias = Literal["sqlite", "end", "event", "index", "timers", "marks", "blob", "state"]
"""Where damage is: in SQLite's own structures, at the journal's end, in an event, in the run index, among the timers
or the marks, in a large body; or in a run whose events do not lead to what the tables say."""


@frozen
class Fault:
    """One thing that is wrong with a journal."""

    kind: FaultKind
    sentence: str
    run_id: str | None = None
    """The run it concerns, where it is one."""
    event: int | None = None
    """Sequence number of the event, where it is one."""


class Journal(Protocol):
    """An append-only record of runs. ``append`` and all reads may be called from any thread."""

    @property
    def epoch(self) -> int:
        """Number of times this journal has been opened for writing, durable before anything else is written."""
        ...

    def append(self, append: Append) -> None:
        """Queue an append. Never blocks on the disk; one writer commits everything queued in one transaction."""
        ...

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Give the committed events of a run with sequence numbers above ``after``, checked against the hash chain.

        Args:
            run_id: The run.
            after: The sequence number before the first that is wanted.
            limit: Most events to give; None for all.
            most_bytes: Give no more once those that were found have this many bytes together; None for no such bound.
                One event is given in any case, where there is one.

        Raises:
            JournalCorrupt: What is stored is not what was written.
        """
        ...

    def run(self, run_id: str) -> RunRow | None:
        """Give the index line of a run."""
        ...

    def runs(
        self,
        *,
        status: Sequence[RunStatus] | None = None,
        workflow: str | None = None,
        kind: EntryKind | None = None,
        limit: int | None = 100,
        after: str | None = None,
    ) -> list[RunRow]:
        """Give index lines, of one kind or of all, the one that was accepted last first.

        With ``after``, only those that were accepted before the entry with this id.

        Raises:
            LookupError: There is no such entry.
        """
        ...

    def timers(self, before: float | None = None, *, waiting: bool = False) -> list[Timer]:
        """Give the timers that are due before a moment, or all, soonest first; with ``waiting``, of waiting runs."""
        ...

    def marks(self, kind: MarkKind, run_id: str | None = None, name: str | None = None) -> list[Mark]:
        """Give the marks of a kind, of one run or of all, of one name or of all, by run and then in order of events.

        Those of kind ``"message"`` are many, and only looked up within one run.
        """
        ...

    def chain(self, run_id: str) -> list[Stored]:
        """Give all events of an entry, checked against each other alone, whatever the index says of them.

        Raises:
            JournalCorrupt: What is stored is not what was written.
        """
        ...

    def entries(self) -> list[str]:
        """Give the id of everything that has events, whatever the index says, the one with the oldest first."""
        ...

    def quick_faults(self, busy: Sequence[RunStatus]) -> list[Fault]:
        """Look at the tables that runs are found by; see ``greenroom.journal.integrity.quick_check``."""
        ...

    def rebuild(self, lines: Iterable[Append]) -> None:
        """Replace the run index, the timers and the marks. Only before the first append, by whoever opened this.

        Args:
            lines: One per entry, in the order of ``entries``, without events. The newest sequence number and hash are
                taken from the events.
        """
        ...

    def faults(self) -> Iterator[Fault]:
        """Check everything, and give one fault after the other; none where all is well."""
        ...

    def verify(self) -> list[str]:
        """Check everything; give one sentence per fault, none where all is well."""
        ...

    def close(self) -> None:
        """Commit what is queued and let go of the file. Appends after this are refused with ``OrchestratorClosed``."""
        ...
