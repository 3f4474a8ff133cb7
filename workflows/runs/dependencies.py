"""What a supervisor needs from the orchestrator around it, handed in so that it can be run against anything else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from greenroom.journal.interface import Journal
from greenroom.messages.core.errors import GreenroomError, JournalError
from greenroom.messages.events.events import AnyEvent, TurnEnded, TurnFailed
from greenroom.messages.policy import Limits
from greenroom.supervision.jobs import Job, JobHandle, PoolKey
from greenroom.supervision.loop.reactor import Reactor
from greenroom.workflows.clock import Alarm
from greenroom.workflows.decisions.inputs import Confirmed, Input
from greenroom.workflows.runs.budget_accounts import Ledger
from greenroom.workflows.runs.residency import ResidentRuns
from greenroom.workflows.state.run_state import RunState


class Observer(Protocol):
    """Hears of a run's events. Any thread; never blocks."""

    def __call__(self, run_id: str, workflow: str, /, *events: AnyEvent) -> None:
        """Take events, in order."""
        ...


class Workers(Protocol):
    """What gives work to worker processes. Reactor's thread only."""

    @property
    def mint(self) -> Callable[[], str]:
        """Gives a token that was never given before."""
        ...

    @property
    def submit(self) -> Callable[[PoolKey, Limits | None, Job], JobHandle]:
        """Submits a job to its pool, and returns the handle for further orders about it."""
        ...


class Directory(Protocol):
    """Where runs find each other. Reactor's thread only; never blocks."""

    ledger: Ledger
    dozing: ResidentRuns
    """What budgets have been used up."""

    def route(self, run_id: str, happened: Input | Confirmed) -> None:
        """Bring a message to a run's supervisor, which is rebuilt from the journal where it is not in memory."""
        ...

    def launch_child(self, parent: RunState, key: str) -> None:
        """Start a child run, or find it; the parent hears of its end."""
        ...

    def linger(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` within moments, together with those of other supervisors."""
        ...

    def published(self, run_id: str) -> None:
        """Note that events of a run have reached the disk."""
        ...

    def announce(self, state: RunState) -> None:
        """Note that a run has ended or is parked, and that this is on the disk."""
        ...

    def forget(self, state: RunState, wake_at: float | None) -> None:
        """Drop the supervisor of ``state`` from memory; it is rebuilt for its next message, or at ``wake_at``."""
        ...


class Post(Protocol):
    """Brings messages from runs to runs, and replies to those who wait. Reactor's thread only; never blocks."""

    def deliver(self, state: RunState, key: str) -> None:
        """Bring a message that a run's program sent to where it goes; the run is told of its arrival."""
        ...

    def look_up(self, run_id: str, key: str, found: Callable[[int | GreenroomError], None]) -> None:
        """Find the number of the message of a key in a session's journal, 0 where there is none, or what is wrong."""
        ...

    def answer(self, run_id: str, event: TurnEnded | TurnFailed) -> None:
        """Note that a session is done with a message, and that this is on the disk."""
        ...

    def stopped(self, state: RunState) -> None:
        """Note that a session has ended or is parked: nobody should wait for its replies."""
        ...


@dataclass(frozen=True, slots=True)
class RunDependencies:
    """The orchestrator as its supervisors see it."""

    reactor: Reactor
    journal: Journal
    submit: Callable[[PoolKey, Limits | None, Job], JobHandle]
    """Submits a job to its pool, and returns the handle for further orders about it. Reactor thread only."""
    directory: Directory
    post: Post
    warm: Callable[[str], object]
    """Has an app loaded where it is not yet, so that its first job finds it ready. Reactor's thread only."""
    mint: Callable[[], str]
    """Gives a token that was never given before, in this life of the journal or another."""
    clock: Callable[[], float]
    """Seconds since the Unix epoch."""
    call_at: Callable[[float, Callable[[], object]], Alarm]
    """Has something called at a moment of that clock. Reactor's thread only."""
    random: Callable[[], float]
    fatal: Callable[[JournalError], None]
    """The journal has failed: the orchestrator must stop."""
    observe: Observer
    """Hears of every event once it is on the disk."""
