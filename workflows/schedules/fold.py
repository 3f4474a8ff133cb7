"""The fold of schedules: the state of a schedule as a function of its events. Pure."""

from collections.abc import Iterable
from typing import Any, Final, assert_never

from greenroom.messages.events import schedules as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Firing, FiringStatus, ScheduleState

RECENT: Final = 20
"""Maximum number of firings that are over and still shown."""


def fold_events(events: Iterable[AnyEvent]) -> ScheduleState | None:
    """Fold the journal of a schedule, or its events from a ``ScheduleKept`` on. Return None if there are none."""
    state: ScheduleState | None = None
    for event in events:
        state = fold_schedule(state, event)
    return state


def fold_schedule(state: ScheduleState | None, event: AnyEvent) -> ScheduleState:
    """Return the state after ``event``.

    Raises:
        ValueError: The event is not one of a schedule's, or not one that a schedule begins with.
    """
    if isinstance(event, ev.ScheduleKept):
        return event.state
    if isinstance(event, ev.ScheduleCreated):
        return _created(state, event)
    if state is None:
        msg = f"a schedule's first event is schedule.created, not {event.type}"
        raise ValueError(msg)
    if not isinstance(event, ev.ScheduleEvent):
        msg = f"{event.type} is not an event of a schedule"
        raise ValueError(msg)  # noqa: TRY004  what is wrong is the journal
    return state.model_copy(update={**_changes(state, event), "updated_at": event.at})


def _created(before: ScheduleState | None, event: ev.ScheduleCreated) -> ScheduleState:
    return ScheduleState(
        name=event.name,
        plan=event.plan,
        anchor=event.anchor,
        created_at=event.at,
        updated_at=event.at,
        due=event.due,
        triggered=before.triggered if before is not None else 0,  # ids of runs go on from it
    )


def _changes(  # noqa: C901, PLR0911  one case per kind of event
    state: ScheduleState, event: ev.ScheduleEvent
) -> dict[str, Any]:
    """Return the fields of the state that an event changes."""
    match event:
        case ev.ScheduleChanged(plan=plan, anchor=anchor, due=due):
            return {"plan": plan, "anchor": anchor, "due": due}
        case ev.SchedulePaused(reason=reason):
            return {"paused": True, "reason": reason}
        case ev.ScheduleResumed(due=due):
            return {"paused": False, "reason": None, "due": due}
        case ev.ScheduleDeleted():
            return {"deleted": True}
        case ev.ScheduleFired():
            return _fired(state, event)
        case ev.ScheduleQueued():
            changes = {"firings": _with(state, event, "queued"), "triggered": state.triggered + event.manual}
            return _passed(event.next_due) | changes
        case ev.ScheduleSkipped():
            return _skipped(state, event)
        case ev.ScheduleRunStarted(run_id=run_id):
            return {"firings": _with_status(state, run_id, "running")}
        case ev.ScheduleRunRefused(run_id=run_id, reason=reason):
            return {"firings": _with_status(state, run_id, "refused", reason)}
        case ev.ScheduleRunEnded(run_id=run_id, status=status):
            return {"firings": _with_status(state, run_id, status)}
        case ev.ScheduleCreated() | ev.ScheduleKept():
            msg = f"{event.type} replaces a state"
            raise AssertionError(msg)
        case _:
            assert_never(event)


def _fired(state: ScheduleState, event: ev.ScheduleFired) -> dict[str, Any]:
    waited = any(firing.run_id == event.run_id for firing in state.queued)
    firings = _with_status(state, event.run_id, "starting") if waited else _with(state, event, "starting")
    return _passed(event.next_due) | {
        "firings": firings,
        "fired": state.fired + 1,
        "triggered": state.triggered + (event.manual and not waited),
    }


def _skipped(state: ScheduleState, event: ev.ScheduleSkipped) -> dict[str, Any]:
    waited = tuple(firing for firing in state.firings if firing.status != "queued" or firing.run_id != event.run_id)
    skipped = Firing(due=event.due, status="skipped", run_id=event.run_id, reason=event.why, count=event.count)
    return _passed(event.next_due) | {
        "firings": _trimmed((*waited, skipped)),
        "skipped": state.skipped + event.count,
    }


def _passed(next_due: float | None) -> dict[str, Any]:
    return {} if next_due is None else {"due": next_due}


def _with(
    state: ScheduleState, event: ev.ScheduleFired | ev.ScheduleQueued, status: FiringStatus
) -> tuple[Firing, ...]:
    firing = Firing(due=event.due, status=status, run_id=event.run_id, manual=event.manual)
    return _trimmed((*state.firings, firing))


def _with_status(
    state: ScheduleState, run_id: str, status: FiringStatus, reason: str | None = None
) -> tuple[Firing, ...]:
    change = {"status": status, "reason": reason}
    return _trimmed(
        tuple(
            firing.model_copy(update=change)
            if firing.run_id == run_id and (firing.open or firing.status == "queued")
            else firing
            for firing in state.firings
        )
    )


def _trimmed(firings: tuple[Firing, ...]) -> tuple[Firing, ...]:
    """Drop the oldest firings that are over, if there are more than ``RECENT``."""
    over = sum(1 for firing in firings if not firing.open and firing.status != "queued") - RECENT
    if over <= 0:
        return firings
    kept: list[Firing] = []
    for firing in firings:
        if over > 0 and not firing.open and firing.status != "queued":
            over -= 1
        else:
            kept.append(firing)
    return tuple(kept)
