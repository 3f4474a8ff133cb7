"""What a schedule does about everything that can happen to it: events to record, runs to start and to cancel.

Pure: the state is only read and the time is an argument. Every due moment is dealt with once and in order: it fires, it
waits for an earlier run to end, or it is skipped, and each of these is an event before anything follows from it.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, assert_never

from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import GreenroomError, ScheduleBusy, ScheduleNotFound
from greenroom.messages.events import schedules as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Plan, ScheduleState
from greenroom.workflows.ids import scheduled_id
from greenroom.workflows.schedules.fold import fold_schedule
from greenroom.workflows.schedules.recurrence import moments, next_after, stamp

ON_TIME: Final = 5.0
"""A moment that is seen within so many seconds is not late, whatever ``catch_up`` says: the machine may be busy."""
QUEUED: Final = 100
"""Runs that may wait for an earlier one to end."""
AT_ONCE: Final = 100
"""Missed moments that are made up for in one decision; the rest follows in the next ones."""
COUNTED: Final = 1000
"""Moments seen too late that are counted one by one; of more it is only said that they were as many at least."""


# ---------------------------------------------------------------- what happens, and what is to be done


@dataclass(frozen=True, slots=True)
class Put:
    """Somebody wants there to be a schedule with this plan."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Pause:
    """Start nothing until resumed."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Start a run now."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Be no more."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Recover:
    """The schedule was read from the journal: take up what it says is open."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run is in the journal."""

    run_id: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A run cannot be started."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A run has come to its end."""

    run_id: str
    status: ev.EndStatus


Happening: TypeAlias = Put | Pause | Resume | Trigger | Delete | Tick | Recover | Started | NotStarted | Ended


@dataclass(frozen=True, slots=True)
class Start:
    """Start a run by its id, or find that it was started."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask a run to end early."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """See whether a run has ended already."""

    run_id: str


Order: TypeAlias = Start | Cancel | Look


@dataclass(slots=True)
class Verdict:
    """What to record, and what to do once that is on the disk, each in order."""

    name: str
    before: ScheduleState | None
    now: float
    _state: ScheduleState | None = field(init=False)
    events: list[AnyEvent] = field(default_factory=list[AnyEvent])
    orders: list[Order] = field(default_factory=list[Order])
    refused: GreenroomError | None = None
    """Why what was asked for is refused, and nothing follows."""
    run_id: str = ""
    """The run that was asked for."""
    created: bool = False
    """Whether there was no such schedule before."""

    def __post_init__(self) -> None:
        """Begin with what is known."""
        self._state = self.before

    @property
    def state(self) -> ScheduleState:
        """The state after the events so far; there is one."""
        assert self._state is not None
        return self._state

    def add(self, event: AnyEvent) -> None:
        """Record one more event."""
        self.events.append(event)
        self._state = fold_schedule(self._state, event)


# ---------------------------------------------------------------- deciding


def decide_schedule(name: str, state: ScheduleState | None, happened: Happening, now: float) -> Verdict:  # noqa: C901, PLR0912  one case per happening
    """Decide what follows from what happened to the schedule ``name``."""
    out = Verdict(name, state, now)
    if isinstance(happened, Put):
        _put(happened.plan, out)
        return out
    if state is None or state.deleted:
        out.refused = ScheduleNotFound(f"there is no schedule {name!r}")
        return out
    match happened:
        case Pause(reason=reason):
            if not state.paused:
                _tick(out)
                out.add(ev.SchedulePaused(at=now, reason=reason))
        case Resume():
            _resume(out)
        case Trigger():
            _trigger(out)
        case Delete():
            out.add(ev.ScheduleDeleted(at=now))
        case Tick():
            _tick(out)
        case Recover():
            _recover(out)
        case Started(run_id=run_id):
            if _is(out.state, run_id, "starting"):
                out.add(ev.ScheduleRunStarted(at=now, run_id=run_id))
                if state.plan.overlap == "cancel" and state.queued:
                    _cancel_running(out)
        case NotStarted(run_id=run_id, reason=reason):
            if _is(out.state, run_id, "starting"):
                out.add(ev.ScheduleRunRefused(at=now, run_id=run_id, reason=reason))
                _start_queued(out)
        case Ended(run_id=run_id, status=status):
            if any(firing.run_id == run_id for firing in state.open):
                out.add(ev.ScheduleRunEnded(at=now, run_id=run_id, status=status))
                _start_queued(out)
        case _:
            assert_never(happened)
    return out


def _is(state: ScheduleState, run_id: str, status: str) -> bool:
    return any(firing.run_id == run_id and firing.status == status for firing in state.firings)


def _put(plan: Plan, out: Verdict) -> None:
    before = out.before
    if before is None or before.deleted:
        anchor = float(math.ceil(out.now))
        due = next_after(plan, anchor, out.now)
        out.created = True
        out.add(ev.ScheduleCreated(at=out.now, name=out.name, plan=plan, anchor=anchor, due=due))
    elif not _alike(plan, before.plan):
        _tick(out)  # what was due until now was due by the plan of until now
        state = out.state
        anchor = state.anchor if plan.every == state.plan.every else float(math.ceil(out.now))
        times = (plan.cron, plan.every, plan.timezone) == (state.plan.cron, state.plan.every, state.plan.timezone)
        due = state.due if times else next_after(plan, anchor, out.now)
        out.add(ev.ScheduleChanged(at=out.now, plan=plan, anchor=anchor, due=due))
        _start_queued(out)


def _resume(out: Verdict) -> None:
    """Go on with what is due next, counted anew: a clock that was set back may have made it far away."""
    state = out.state
    if not state.paused:
        return
    due = state.due if state.due <= out.now else next_after(state.plan, state.anchor, out.now)
    out.add(ev.ScheduleResumed(at=out.now, due=due))
    _tick(out)
    _start_queued(out)


def _recover(out: Verdict) -> None:
    """Take up what was going on: starting again what may not have been started is safe, as ids tell runs apart."""
    for firing in out.state.open:
        assert firing.run_id is not None
        out.orders.append(Start(firing.run_id) if firing.status == "starting" else Look(firing.run_id))
    if out.state.plan.overlap == "cancel" and out.state.queued:
        _cancel_running(out)
    _tick(out)


def _trigger(out: Verdict) -> None:
    """Start a run at a person's wish. What would be skipped is refused: there is somebody to tell."""
    state = out.state
    overlap = state.plan.overlap
    running = (*state.open, *state.queued)
    if running and (overlap == "skip" or (overlap == "queue" and len(state.queued) >= QUEUED)):
        what = f"run {running[0].run_id} goes on" if overlap == "skip" else f"{QUEUED} runs wait already"
        out.refused = ScheduleBusy(f"schedule {out.name!r} starts no run now, because {what}")
        return
    out.run_id = scheduled_id(out.name, f"{stamp(math.floor(out.now))}-{state.triggered + 1}")
    _meet(out, out.run_id, out.now, manual=True, next_due=None)


# ---------------------------------------------------------------- moments


def _tick(out: Verdict) -> None:
    """Deal with the moments that have come: pass over those too long ago, meet the others in order."""
    state = out.state
    if state.paused or state.due > out.now:
        return
    try:
        due = _pass_over_late(out)
        met: list[float] = []
        for moment in moments(state.plan, state.anchor, due):
            due = moment
            if moment > out.now or len(met) == AT_ONCE:
                break
            met.append(moment)
    except ValueError as error:
        out.add(ev.SchedulePaused(at=out.now, reason=f"the next moment cannot be told: {error}"))
        return
    if state.plan.overlap == "cancel" and len(met) > 1:  # each would only be started for the next to cancel it
        out.add(
            ev.ScheduleSkipped(at=out.now, due=met[0], count=len(met) - 1, why="overlap", next_due=met[-1]),
        )
        met = met[-1:]
    for moment, next_due in zip(met, [*met, due][1:], strict=True):
        _meet(out, scheduled_id(out.name, stamp(moment)), moment, manual=False, next_due=next_due)


def _pass_over_late(out: Verdict) -> float:
    """Skip the moments that are too long ago to be made up for; give the first that is not, or is yet to come."""
    state = out.state
    oldest = out.now - max(state.plan.catch_up, ON_TIME)
    if state.due >= oldest:
        return state.due
    count, due = 0, state.due
    while due < oldest and count < COUNTED:
        count += 1
        due = next_after(state.plan, state.anchor, due)
    if due < oldest:
        due = next_after(state.plan, state.anchor, math.nextafter(oldest, -math.inf))
    out.add(ev.ScheduleSkipped(at=out.now, due=state.due, count=count, why="late", next_due=due))
    return due


def _meet(out: Verdict, run_id: str, due: float, *, manual: bool, next_due: float | None) -> None:
    """Have a run started, or let it wait, or skip it, as the plan says about those that still go on."""
    state = out.state
    in_the_way = (*state.open, *state.queued)
    overlap = state.plan.overlap
    if not in_the_way or overlap == "allow":
        out.add(ev.ScheduleFired(at=out.now, run_id=run_id, due=due, manual=manual, next_due=next_due))
        out.orders.append(Start(run_id))
        return
    if overlap == "skip" or (overlap == "queue" and len(state.queued) >= QUEUED):
        why: ev.SkipReason = "overlap" if overlap == "skip" else "full"
        blocker = state.open[-1].run_id if state.open else None
        out.add(ev.ScheduleSkipped(at=out.now, due=due, why=why, run_id=blocker, next_due=next_due))
        return
    if overlap == "cancel":
        for waiting in state.queued:
            out.add(ev.ScheduleSkipped(at=out.now, due=waiting.due, why="overlap", run_id=waiting.run_id))
        _cancel_running(out)
    out.add(ev.ScheduleQueued(at=out.now, run_id=run_id, due=due, manual=manual, next_due=next_due))


def _alike(plan: Plan, other: Plan) -> bool:
    """Whether two plans are one, whatever the order in which their arguments are named."""
    bare: dict[str, Any] = {"arguments": {}}
    return same(plan.arguments, other.arguments) and plan.model_copy(update=bare) == other.model_copy(update=bare)


def _cancel_running(out: Verdict) -> None:
    """Cancel what is in the way. A run that is only starting is not there yet, and cancelled once it is."""
    reason = f"the next run of schedule {out.name} is due"
    running = [firing.run_id for firing in out.state.open if firing.status == "running"]
    out.orders.extend(Cancel(run_id, reason) for run_id in running if run_id is not None)


def _start_queued(out: Verdict) -> None:
    """Start what waited, one after the other or, where the plan allows it by now, all of it."""
    while not out.state.paused and (queued := out.state.queued):
        if out.state.open and out.state.plan.overlap != "allow":
            return
        first = queued[0]
        assert first.run_id is not None
        out.add(ev.ScheduleFired(at=out.now, run_id=first.run_id, due=first.due, manual=first.manual))
        out.orders.append(Start(first.run_id))
