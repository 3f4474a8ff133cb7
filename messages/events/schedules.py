"""Schedules: what they start and when, what the journal holds of them, and what a person reads.

A schedule's events stand in the journal under ``@name``. Moments are seconds since the Unix epoch, save in records for
people, where they are datetimes in UTC.
"""

from typing import Literal, TypeAlias

from greenroom.messages.core.fields import Interval, Moment, Span
from greenroom.messages.core.message import Event, Json, Message
from greenroom.messages.policy import Budget

Overlap: TypeAlias = Literal["skip", "queue", "allow", "cancel"]
"""What becomes of a run that is due while an earlier one of its schedule goes on."""
SkipReason: TypeAlias = Literal["late", "overlap", "full"]
"""Why a moment passed without a run: it was seen too late; an earlier run went on; too many waited already."""
EndStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
FiringStatus: TypeAlias = Literal[
    "queued", "starting", "running", "completed", "failed", "cancelled", "refused", "skipped"
]


class Plan(Message):
    """What a schedule starts, and when. Exactly one of ``cron`` and ``every`` is given."""

    app: str
    workflow: str
    arguments: dict[str, Json]
    cron: str | None = None
    """Five fields, or six with seconds first."""
    every: Interval = None
    """Seconds from one moment to the next."""
    timezone: str = "UTC"
    """Where the clock hangs that ``cron`` is read by."""
    overlap: Overlap = "skip"
    catch_up: Span = 60.0
    """Seconds for which a missed moment is still made up for."""
    budget: Budget | None = None
    """What each run may use up; None leaves it to the workflow."""


class Firing(Message):
    """One moment of a schedule, or several in a row that were skipped alike, and what became of it."""

    due: float
    status: FiringStatus
    run_id: str | None = None
    manual: bool = False
    """True where a person asked for it."""
    reason: str | None = None
    count: int = 1
    """Moments that were skipped together, ``due`` being the first."""

    @property
    def open(self) -> bool:
        """True while its run goes on, as far as the schedule has heard."""
        return self.status in {"starting", "running"}


class ScheduleState(Message):
    """Everything the orchestrator knows of a schedule: the fold of its events."""

    name: str
    plan: Plan
    anchor: float
    """Where moments of ``every`` are counted from."""
    created_at: float
    updated_at: float
    due: float
    """The next moment."""
    paused: bool = False
    deleted: bool = False
    reason: str | None = None
    """Why it is paused."""
    fired: int = 0
    """Runs ever started or asked for."""
    skipped: int = 0
    """Moments that passed without a run."""
    triggered: int = 0
    """Times that a person asked for a run."""
    firings: tuple[Firing, ...] = ()
    """The oldest first: all that go on or wait, and the newest of the others."""

    @property
    def open(self) -> tuple[Firing, ...]:
        """Those whose runs go on."""
        return tuple(firing for firing in self.firings if firing.open)

    @property
    def queued(self) -> tuple[Firing, ...]:
        """Those that wait for an earlier run to end."""
        return tuple(firing for firing in self.firings if firing.status == "queued")


# ---------------------------------------------------------------- events


class ScheduleCreated(Event):
    """A schedule was made. The first event of each, and the first after it was deleted."""

    type: Literal["schedule.created"] = "schedule.created"
    name: str
    plan: Plan
    anchor: float
    due: float


class ScheduleChanged(Event):
    """A schedule has another plan from now on."""

    type: Literal["schedule.changed"] = "schedule.changed"
    plan: Plan
    anchor: float
    due: float


class SchedulePaused(Event):
    """A schedule starts nothing until it is resumed."""

    type: Literal["schedule.paused"] = "schedule.paused"
    reason: str | None = None


class ScheduleResumed(Event):
    """A paused schedule goes on."""

    type: Literal["schedule.resumed"] = "schedule.resumed"
    due: float


class ScheduleFired(Event):
    """A run is to be started now. It is started by its id, so once however often that is tried."""

    type: Literal["schedule.fired"] = "schedule.fired"
    run_id: str
    due: float
    manual: bool = False
    next_due: float | None = None
    """The moment after this one; None where that has not changed."""


class ScheduleQueued(Event):
    """A run is due, and waits for an earlier one to end."""

    type: Literal["schedule.queued"] = "schedule.queued"
    run_id: str
    due: float
    manual: bool = False
    next_due: float | None = None


class ScheduleSkipped(Event):
    """Moments passed without a run."""

    type: Literal["schedule.skipped"] = "schedule.skipped"
    due: float
    """The first of them."""
    count: int = 1
    """How many; where nobody has counted to the end, at least that many."""
    why: SkipReason
    run_id: str | None = None
    """The run that was in the way, or the one that waited and no longer does."""
    next_due: float | None = None


class ScheduleRunStarted(Event):
    """The run of a firing is in the journal."""

    type: Literal["schedule.run_started"] = "schedule.run_started"
    run_id: str


class ScheduleRunRefused(Event):
    """The run of a firing cannot be started; the next moment tries again."""

    type: Literal["schedule.run_refused"] = "schedule.run_refused"
    run_id: str
    reason: str


class ScheduleRunEnded(Event):
    """The run of a firing has come to its end."""

    type: Literal["schedule.run_ended"] = "schedule.run_ended"
    run_id: str
    status: EndStatus


class ScheduleDeleted(Event):
    """The schedule is no more. Runs that go on are not touched."""

    type: Literal["schedule.deleted"] = "schedule.deleted"


class ScheduleKept(Event):
    """All that the events up to here amount to, so that they need not be read to go on."""

    type: Literal["schedule.kept"] = "schedule.kept"
    state: ScheduleState


ScheduleEvent: TypeAlias = (
    ScheduleCreated
    | ScheduleChanged
    | SchedulePaused
    | ScheduleResumed
    | ScheduleFired
    | ScheduleQueued
    | ScheduleSkipped
    | ScheduleRunStarted
    | ScheduleRunRefused
    | ScheduleRunEnded
    | ScheduleDeleted
    | ScheduleKept
)


# ---------------------------------------------------------------- records


class FiringRecord(Message):
    """One moment of a schedule, or several that were skipped alike, and what became of it."""

    due: Moment
    status: FiringStatus
    run_id: str | None = None
    manual: bool = False
    reason: str | None = None
    count: int = 1


class ScheduleRecord(Message):
    """One schedule, as ``greenroom schedules`` shows it."""

    name: str
    workflow: str
    app: str
    arguments: dict[str, Json]
    cron: str | None
    every: float | None
    timezone: str
    overlap: Overlap
    catch_up: float
    status: Literal["active", "paused"]
    reason: str | None = None
    """Why it is paused."""
    created_at: Moment
    updated_at: Moment
    next_times: tuple[Moment, ...] = ()
    """The next moments, none while it is paused."""
    fired: int = 0
    skipped: int = 0
    firings: tuple[FiringRecord, ...] = ()
    """The newest moments, the newest first."""
