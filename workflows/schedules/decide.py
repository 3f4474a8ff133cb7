"""What follows from every input of a schedule: events to record, runs to start and to cancel.

Pure: the time is an argument. Every due moment is handled once and in order: it fires, waits for an earlier run to end,
or is skipped. Each of these is an event that is committed before its effects are carried out.
"""

import math
from dataclasses import field
from hashlib import sha256
from typing import Any, Final, TypeAlias, assert_never

from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import GreenroomError, ScheduleBusy, ScheduleNotFound
from greenroom.messages.core.frozen import frozen, mutable
from greenroom.messages.events import schedules as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Plan, ScheduleState
from greenroom.messages.ids import scheduled_id
from greenroom.workflows.schedules.fold import fold_schedule
from greenroom.workflows.schedules.next_times import moments, next_after, stamp

ON_TIME: Final = 5.0
"""Seconds within which a moment is not late, whatever ``catch_up`` is: the machine may be busy."""
QUEUED: Final = 100
"""Maximum number of runs that wait for an earlier one to end."""
AT_ONCE: Final = 100
"""Maximum number of missed moments handled in one decision; the next decisions handle the others."""
COUNTED: Final = 1000
"""Maximum number of late moments that are counted; if there are more, the count is a lower bound."""


# ---------------------------------------------------------------- inputs and effects


@frozen
class Put:
    """Create the schedule, or change its plan."""

    plan: Plan


@frozen
class Pause:
    """Start no run until resumed."""

    reason: str | None = None


@frozen
class Resume:
    """Start runs again."""


@frozen
class Trigger:
    """Start a run now, unless one was started for the same key."""

    key: str | None = None


@frozen
class Delete:
    """Delete the schedule."""


@frozen
class Tick:
    """The next moment may be due."""


@frozen
class Recover:
    """The schedule was read from the journal: go on with its open runs."""


@frozen
class Started:
    """The start of a run is committed."""

    run_id: str


@frozen
class NotStarted:
    """A run cannot be started."""

    run_id: str
    reason: str


@frozen
class Ended:
    """A run has ended."""

    run_id: str
    status: ev.EndStatus


ScheduleInput: TypeAlias = Put | Pause | Resume | Trigger | Delete | Tick | Recover | Started | NotStarted | Ended


@frozen
class Start:
    """Start a run by its id, or find it if it was started before."""

    run_id: str


@frozen
class Cancel:
    """Cancel a run."""

    run_id: str
    reason: str


@frozen
class Look:
    """Check whether a run has ended."""

    run_id: str


ScheduleEffect: TypeAlias = Start | Cancel | Look


@mutable
class ScheduleDecision:
    """What to record, and what to do once that is committed, each in order."""

    name: str
    before: ScheduleState | None
    now: float
    _state: ScheduleState | None = field(init=False)
    events: list[AnyEvent] = field(default_factory=list[AnyEvent])
    orders: list[ScheduleEffect] = field(default_factory=list[ScheduleEffect])
    refused: GreenroomError | None = None
    """Why the input is refused. A refused input has no events."""
    run_id: str = ""
    """Id of the run that was requested."""
    created: bool = False
    """Whether the schedule was created."""

    def __post_init__(self) -> None:
        """Begin with the state before."""
        self._state = self.before

    @property
    def state(self) -> ScheduleState:
        """The state after the events so far."""
        assert self._state is not None
        return self._state

    @property
    def starting(self) -> bool:
        """Whether the requested run does not exist yet, because its start is under way."""
        return bool(self.run_id) and _is(self.state, self.run_id, "starting")

    def add(self, event: AnyEvent) -> None:
        """Record an event and apply it to the state."""
        self.events.append(event)
        self._state = fold_schedule(self._state, event)


# ---------------------------------------------------------------- deciding


def decide_schedule(name: str, state: ScheduleState | None, happened: ScheduleInput, now: float) -> ScheduleDecision:  # noqa: C901, PLR0912  one case per happening
    """Decide what follows from an input of the schedule ``name``."""
    out = ScheduleDecision(name, state, now)
    if isinstance(happened, Put):
        _put(happened.plan, out)
        return out
    if state is None or (state.deleted and not isinstance(happened, Started | NotStarted)):
        out.refused = ScheduleNotFound(f"there is no schedule {name!r}")
        return out
    match happened:
        case Pause(reason=reason):
            if not state.paused:
                _tick(out)
                out.add(ev.SchedulePaused(at=now, reason=reason))
        case Resume():
            _resume(out)
        case Trigger(key=key):
            _trigger(key, out)
        case Delete():
            out.add(ev.ScheduleDeleted(at=now))
        case Tick():
            _tick(out)
        case Recover():
            _recover(out)
        case Started(run_id=run_id):
            if _is(out.state, run_id, "starting"):
                out.add(ev.ScheduleRunStarted(at=now, run_id=run_id))
                if state.plan.overlap == "cancel" and state.queued and not state.deleted:
                    _cancel_running(out)
        case NotStarted(run_id=run_id, reason=reason):
            if _is(out.state, run_id, "starting"):
                out.add(ev.ScheduleRunRefused(at=now, run_id=run_id, reason=reason))
                if not state.deleted:
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


def _put(plan: Plan, out: ScheduleDecision) -> None:
    before = out.before
    if before is None or before.deleted:
        anchor = float(math.ceil(out.now))
        due = next_after(plan, anchor, out.now)
        out.created = True
        out.add(ev.ScheduleCreated(at=out.now, name=out.name, plan=plan, anchor=anchor, due=due))
    elif not _alike(plan, before.plan):
        _tick(out)  # moments until now follow the plan until now
        state = out.state
        anchor = state.anchor if plan.every == state.plan.every else float(math.ceil(out.now))
        times = (plan.cron, plan.every, plan.timezone) == (state.plan.cron, state.plan.every, state.plan.timezone)
        due = state.due if times else next_after(plan, anchor, out.now)
        out.add(ev.ScheduleChanged(at=out.now, plan=plan, anchor=anchor, due=due))
        _start_queued(out)


def _resume(out: ScheduleDecision) -> None:
    """Compute the next moment anew, which may be far away if the clock was set back."""
    state = out.state
    if not state.paused:
        return
    due = state.due if state.due <= out.now else next_after(state.plan, state.anchor, out.now)
    out.add(ev.ScheduleResumed(at=out.now, due=due))
    _tick(out)
    _start_queued(out)


def _recover(out: ScheduleDecision) -> None:
    """Go on with open runs. Starting a run twice is safe, because the id identifies it."""
    for firing in out.state.open:
        assert firing.run_id is not None
        out.orders.append(Start(firing.run_id) if firing.status == "starting" else Look(firing.run_id))
    if out.state.plan.overlap == "cancel" and out.state.queued:
        _cancel_running(out)
    _tick(out)


def _trigger(key: str | None, out: ScheduleDecision) -> None:
    """Start a run on request, or refuse the request if a due moment would be skipped."""
    state = out.state
    run_id = _triggered_id(key, out)
    if any(firing.run_id == run_id and firing.status not in {"refused", "skipped"} for firing in state.firings):
        out.run_id = run_id
        return
    overlap = state.plan.overlap
    running = (*state.open, *state.queued)
    if running and (overlap == "skip" or (overlap == "queue" and len(state.queued) >= QUEUED)):
        what = f"run {running[0].run_id} goes on" if overlap == "skip" else f"{QUEUED} runs wait already"
        out.refused = ScheduleBusy(f"schedule {out.name!r} starts no run now, because {what}")
        return
    out.run_id = run_id
    _meet(out, run_id, out.now, manual=True, next_due=None)


def _triggered_id(key: str | None, out: ScheduleDecision) -> str:
    """Return the id of a run that is requested: the same for the same key."""
    if key is not None:
        return scheduled_id(out.name, f"key-{sha256(key.encode()).hexdigest()[:32]}")
    return scheduled_id(out.name, f"{stamp(math.floor(out.now))}-{out.state.triggered + 1}")


# ---------------------------------------------------------------- moments


def _tick(out: ScheduleDecision) -> None:
    """Handle the moments that are due: skip those that are too late, and handle the others in order."""
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
    if state.plan.overlap == "cancel" and len(met) > 1:  # the next would cancel each of them at once
        out.add(
            ev.ScheduleSkipped(at=out.now, due=met[0], count=len(met) - 1, why="overlap", next_due=met[-1]),
        )
        met = met[-1:]
    for moment, next_due in zip(met, [*met, due][1:], strict=True):
        _meet(out, scheduled_id(out.name, stamp(moment)), moment, manual=False, next_due=next_due)


def _pass_over_late(out: ScheduleDecision) -> float:
    """Skip the moments that are too late, and return the first that is not, or is in the future."""
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


def _meet(out: ScheduleDecision, run_id: str, due: float, *, manual: bool, next_due: float | None) -> None:
    """Start a run, queue it or skip it, as the plan's ``overlap`` says about runs that have not ended."""
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
    """Return whether two plans are equal, whatever the order of their arguments."""
    bare: dict[str, Any] = {"arguments": {}}
    return same(plan.arguments, other.arguments) and plan.model_copy(update=bare) == other.model_copy(update=bare)


def _cancel_running(out: ScheduleDecision) -> None:
    """Cancel running runs. A run that is starting is cancelled once it has started."""
    reason = f"the next run of schedule {out.name} is due"
    running = [firing.run_id for firing in out.state.open if firing.status == "running"]
    out.orders.extend(Cancel(run_id, reason) for run_id in running if run_id is not None)


def _start_queued(out: ScheduleDecision) -> None:
    """Start the first queued run if none is open or, if the plan now allows overlap, all of them."""
    while not out.state.paused and (queued := out.state.queued):
        if out.state.open and out.state.plan.overlap != "allow":
            return
        first = queued[0]
        assert first.run_id is not None
        out.add(ev.ScheduleFired(at=out.now, run_id=first.run_id, due=first.due, manual=first.manual))
        out.orders.append(Start(first.run_id))
