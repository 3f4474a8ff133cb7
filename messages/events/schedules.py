"""Schedules: their plans, their events in the journal, and their records for people.

The journal holds a schedule's events under ``@name``. Moments are seconds since the Unix epoch, except in records for
people, where they are datetimes in UTC.
"""

from typing import Literal, TypeAlias

from greenroom.messages.core.fields import Interval, Moment, Span
from greenroom.messages.core.message import Event, Json, Message
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.options.policy import Budget

Overlap: TypeAlias = Literal["skip", "queue", "allow", "cancel"]
"""What happens to a run that is due while an earlier one of its schedule goes on."""
SkipReason: TypeAlias = Literal["late", "overlap", "full"]
"""Why a due time passed without a run: it was noticed too late, an earlier run went on, or too many waited."""
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
    """Seconds between due times."""
    timezone: str = "UTC"
    """Time zone of ``cron``."""
    overlap: Overlap = "skip"
    catch_up: Span = 60.0
    """Seconds for which a missed due time is still made up for."""
    budget: Budget | None = None
    """Budget of each run; None for the workflow's own."""


class Firing(Message):
    """One due time of a schedule, or several in a row that were skipped alike, and what happened."""

    due: float
    status: FiringStatus
    run_id: str | None = None
    manual: bool = False
    """True if a person requested it."""
    reason: str | None = None
    count: int = 1
    """Number of due times that were skipped together; ``due`` is the first."""

    @property
    def open(self) -> bool:
        """True while its run goes on, as far as the schedule knows."""
        return self.status in {"starting", "running"}


class ScheduleState(Message):
    """The complete state of a schedule: the fold of its events."""

    name: str
    plan: Plan
    anchor: float
    """The moment from which the times of ``every`` are counted."""
    created_at: float
    updated_at: float
    due: float
    """The next due time."""
    paused: bool = False
    deleted: bool = False
    reason: str | None = None
    """Why the schedule is paused."""
    fired: int = 0
    """Number of runs started or requested so far."""
    skipped: int = 0
    """Number of due times that passed without a run."""
    triggered: int = 0
    """Number of runs requested by people."""
    firings: tuple[Firing, ...] = ()
    """Oldest first: all that go on or wait, and the newest of the others."""

    @property
    def open(self) -> tuple[Firing, ...]:
        """Firings whose runs go on."""
        return tuple(firing for firing in self.firings if firing.open)

    @property
    def queued(self) -> tuple[Firing, ...]:
        """Firings that wait for an earlier run to end."""
        return tuple(firing for firing in self.firings if firing.status == "queued")


# ---------------------------------------------------------------- events


class ScheduleCreated(Event):
    """A schedule was created. The first event of each, and the first after a deletion."""

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
    """A paused schedule continues."""

    type: Literal["schedule.resumed"] = "schedule.resumed"
    due: float


class ScheduleFired(Event):
    """A run is to be started now. Its id makes repeated attempts start it only once."""

    type: Literal["schedule.fired"] = "schedule.fired"
    run_id: str
    due: float
    manual: bool = False
    next_due: float | None = None
    """The next due time after this one; None if it has not changed."""


class ScheduleQueued(Event):
    """A run is due, and waits for an earlier one to end."""

    type: Literal["schedule.queued"] = "schedule.queued"
    run_id: str
    due: float
    manual: bool = False
    next_due: float | None = None


class ScheduleSkipped(Event):
    """Due times passed without a run."""

    type: Literal["schedule.skipped"] = "schedule.skipped"
    due: float
    """The first of them."""
    count: int = 1
    """How many; a lower bound if they were not all counted."""
    why: SkipReason
    run_id: str | None = None
    """The run that prevented it, or the run that waited and was dropped."""
    next_due: float | None = None


class ScheduleRunStarted(Event):
    """The run of a firing is in the journal."""

    type: Literal["schedule.run_started"] = "schedule.run_started"
    run_id: str


class ScheduleRunRefused(Event):
    """The run of a firing cannot be started. The next due time tries again."""

    type: Literal["schedule.run_refused"] = "schedule.run_refused"
    run_id: str
    reason: str


class ScheduleRunEnded(Event):
    """The run of a firing has ended."""

    type: Literal["schedule.run_ended"] = "schedule.run_ended"
    run_id: str
    status: EndStatus


class ScheduleDeleted(Event):
    """The schedule was deleted. Its runs continue."""

    type: Literal["schedule.deleted"] = "schedule.deleted"


class ScheduleKept(Event):
    """The state after all events so far, so that earlier ones need not be read."""

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
"""Every event of this file."""


# ---------------------------------------------------------------- records


class FiringRecord(Message):
    """One due time of a schedule, or several that were skipped alike, and what happened."""

    due: Moment
    status: FiringStatus
    run_id: str | None = None
    manual: bool = False
    reason: str | None = None
    count: int = 1


class ScheduleRecord(OtherNames, Message):
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
    """Why the schedule is paused."""
    created_at: Moment
    updated_at: Moment
    next_times: tuple[Moment, ...] = ()
    """The next due times; empty while it is paused."""
    fired: int = 0
    skipped: int = 0
    firings: tuple[FiringRecord, ...] = ()
    """The newest firings, newest first."""
