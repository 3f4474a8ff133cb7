"""The fold of schedules: how every event changes a schedule's state. Pure, like that of runs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from greenroom.messages.events import schedules as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Firing, FiringStatus, ScheduleState

RECENT: Final = 20
"""Moments that are over and still shown."""


def fold_schedule(state: ScheduleState | None, event: AnyEvent) -> ScheduleState:
    """Give the state after ``event``.

    Raises:
        ValueError: There is no state yet, and the event does not make one.
    """
    if isinstance(event, ev.ScheduleKept):
        return event.state
    if isinstance(event, ev.ScheduleCreated):
        return _created(state, event)
    if state is None:
        msg = f"a schedule's first event is schedule.created, not {event.type}"
        raise ValueError(msg)
    return state.model_copy(update={**_FOLDS[type(event)](state, event), "updated_at": event.at})


def fold_events(events: Iterable[AnyEvent]) -> ScheduleState | None:
    """Fold a schedule's journal, or what of it is needed to go on; None where there is nothing."""
    state: ScheduleState | None = None
    for event in events:
        state = fold_schedule(state, event)
    return state


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


def _changed(_state: ScheduleState, event: ev.ScheduleChanged) -> dict[str, Any]:
    return {"plan": event.plan, "anchor": event.anchor, "due": event.due}


def _paused(_state: ScheduleState, event: ev.SchedulePaused) -> dict[str, Any]:
    return {"paused": True, "reason": event.reason}


def _resumed(_state: ScheduleState, event: ev.ScheduleResumed) -> dict[str, Any]:
    return {"paused": False, "reason": None, "due": event.due}


def _deleted(_state: ScheduleState, _event: ev.ScheduleDeleted) -> dict[str, Any]:
    return {"deleted": True}


def _fired(state: ScheduleState, event: ev.ScheduleFired) -> dict[str, Any]:
    waited = any(firing.run_id == event.run_id for firing in state.queued)
    firings = _with_status(state, event.run_id, "starting") if waited else _with(state, event, "starting")
    return _passed(event.next_due) | {
        "firings": firings,
        "fired": state.fired + 1,
        "triggered": state.triggered + (event.manual and not waited),
    }


def _queued(state: ScheduleState, event: ev.ScheduleQueued) -> dict[str, Any]:
    return _passed(event.next_due) | {
        "firings": _with(state, event, "queued"),
        "triggered": state.triggered + event.manual,
    }


def _skipped(state: ScheduleState, event: ev.ScheduleSkipped) -> dict[str, Any]:
    waited = tuple(firing for firing in state.firings if firing.status != "queued" or firing.run_id != event.run_id)
    skipped = Firing(due=event.due, status="skipped", run_id=event.run_id, reason=event.why, count=event.count)
    return _passed(event.next_due) | {
        "firings": _trimmed((*waited, skipped)),
        "skipped": state.skipped + event.count,
    }


def _run_started(state: ScheduleState, event: ev.ScheduleRunStarted) -> dict[str, Any]:
    return {"firings": _with_status(state, event.run_id, "running")}


def _run_refused(state: ScheduleState, event: ev.ScheduleRunRefused) -> dict[str, Any]:
    return {"firings": _with_status(state, event.run_id, "refused", event.reason)}


def _run_ended(state: ScheduleState, event: ev.ScheduleRunEnded) -> dict[str, Any]:
    return {"firings": _with_status(state, event.run_id, event.status)}


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
    """Drop the oldest of those that are over and too many."""
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


_FOLDS: Final[Mapping[type[Any], Callable[[ScheduleState, Any], dict[str, Any]]]] = {
    ev.ScheduleChanged: _changed,
    ev.SchedulePaused: _paused,
    ev.ScheduleResumed: _resumed,
    ev.ScheduleFired: _fired,
    ev.ScheduleQueued: _queued,
    ev.ScheduleSkipped: _skipped,
    ev.ScheduleRunStarted: _run_started,
    ev.ScheduleRunRefused: _run_refused,
    ev.ScheduleRunEnded: _run_ended,
    ev.ScheduleDeleted: _deleted,
}
