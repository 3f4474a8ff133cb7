"""What the actor of a run needs of its orchestrator, as interfaces that other parts can stand behind."""

from collections.abc import Callable
from typing import Protocol

from greenroom.journal.interface import Journal
from greenroom.messages.core.errors import GreenroomError, JournalError
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import AnyEvent, TurnEnded, TurnFailed
from greenroom.messages.options.policy import Limits
from greenroom.supervision.jobs import Job, JobHandle, PoolKey
from greenroom.supervision.loop.clock import Alarm
from greenroom.supervision.loop.reactor import Reactor
from greenroom.workflows.decisions.inputs import Confirmed, Input
from greenroom.workflows.runs.budget_accounts import BudgetAccounts
from greenroom.workflows.runs.residency import ResidentRuns
from greenroom.workflows.state.run_state import RunState


class Observer(Protocol):
    """Is told of a run's events. Thread-safe; never blocks."""

    def __call__(self, run_id: str, workflow: str, /, *events: AnyEvent) -> None:
        """Take events, in order."""
        ...


class Workers(Protocol):
    """Gives jobs to worker processes. Reactor thread only."""

    @property
    def mint(self) -> Callable[[], str]:
        """Returns a new token at each call."""
        ...

    @property
    def submit(self) -> Callable[[PoolKey, Limits | None, Job], JobHandle]:
        """Submits a job to its pool, and returns the handle for further orders about it."""
        ...


class Registry(Protocol):
    """Finds runs. Reactor thread only; never blocks."""

    budgets: BudgetAccounts
    """What has been used of each budget."""
    resident: ResidentRuns
    """Runs that stay in memory although they wait."""

    def route(self, run_id: str, happened: Input | Confirmed, /) -> None:
        """Send a message to a run's actor, which is rebuilt from the journal if it is not in memory."""
        ...

    def start_child(self, parent: RunState, key: str) -> None:
        """Start a child run, or find the one that was started; the parent is told of its end."""
        ...

    def call_off(self, run_id: str, /) -> None:
        """Let a child that is being cancelled, and was to continue afterwards with its parent, stay as it ends."""
        ...

    def rate(self, run_id: str, sample: str, seq: int, /) -> None:
        """Have a sampled answer rated in the background. The event that holds it, ``seq``, is committed."""
        ...

    def note_unheard(self, run_id: str, unheard: bool, /) -> None:  # noqa: FBT001  as the journal will have it
        """Remember whether the next append of a run leaves it with the mark ``UNHEARD``."""
        ...

    def is_unheard(self, run_id: str, /) -> bool:
        """Return whether a run has the mark ``UNHEARD``, or will have once its appends are committed."""
        ...

    def keep_for_ratings(self, state: RunState, leave: Callable[[], object]) -> bool:
        """Return whether an ended run may stay in memory until its answers are rated, or ``leave`` is called."""
        ...

    def linger(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` after some milliseconds, together with those of other actors."""
        ...

    def published(self, run_id: str) -> None:
        """Tell subscribers that events of a run are committed."""
        ...

    def announce(self, state: RunState) -> None:
        """Tell all who wait for a run that it has ended or is parked. The event that says so is committed."""
        ...

    def forget(self, state: RunState, wake_at: float | None) -> None:
        """Drop the actor of ``state`` from memory; it is rebuilt for its next message, or at ``wake_at``."""
        ...


class Router(Protocol):
    """Carries messages between runs, and replies to those who wait. Reactor thread only; never blocks."""

    def deliver(self, state: RunState, key: str) -> None:
        """Deliver a message that a run's program sent; the run is told when it has arrived."""
        ...

    def look_up(self, run_id: str, key: str, found: Callable[[int | GreenroomError], None]) -> None:
        """Call ``found`` with the number of a session's message by its key, 0 if there is none, or with an error."""
        ...

    def answer(self, run_id: str, event: TurnEnded | TurnFailed) -> None:
        """Pass the end of a session's turn, which is committed, to the callers that wait for a reply."""
        ...

    def stopped(self, state: RunState) -> None:
        """Refuse those who wait for replies of a session that has ended or is parked."""
        ...


@frozen
class RunDependencies:
    """The orchestrator as the actors of runs and schedules see it."""

    reactor: Reactor
    journal: Journal
    submit: Callable[[PoolKey, Limits | None, Job], JobHandle]
    """Submits a job to its pool, and returns the handle for further orders about it. Reactor thread only."""
    registry: Registry
    router: Router
    warm: Callable[[str], object]
    """Starts to load an app that is not loaded, so that its first job finds it ready. Reactor thread only."""
    mint: Callable[[], str]
    """Returns a token that was never used before with this journal."""
    clock: Callable[[], float]
    """Returns seconds since the Unix epoch."""
    call_at: Callable[[float, Callable[[], object]], Alarm]
    """Sets an alarm for a time of that clock. Reactor thread only."""
    random: Callable[[], float]
    on_journal_failure: Callable[[JournalError], None]
    """Stops the orchestrator because its journal failed."""
    observe: Observer
    """Is told of every event after its commit."""
