"""How events about a run's timers and children change its state."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from greenroom.messages.events.events import (
    ChildEnded,
    ChildScheduled,
    TimerCancelled,
    TimerFired,
    TimerSet,
)
from greenroom.messages.frames.worker import Resolution
from greenroom.workflows.state.run_state import Child, RunState


def _timer_set(state: RunState, event: TimerSet) -> None:
    state.timers[event.key] = event.due
    state.timer_keys.add(event.key)
    state.wait_changes.append((event.key, event.due))


def _timer_fired(state: RunState, event: TimerFired) -> None:
    del state.timers[event.key]
    state.wait_changes.append((event.key, None))
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="timer"))


def _timer_cancelled(state: RunState, event: TimerCancelled) -> None:
    state.timers.pop(event.key, None)
    state.wait_changes.append((event.key, None))


def _child_scheduled(state: RunState, event: ChildScheduled) -> None:
    state.children[event.key] = Child(
        event.run_id, event.app, event.workflow, event.arguments, event.version, event.fingerprint, event.budget
    )
    state.children_made += 1
    state.in_flight += 1


def _child_ended(state: RunState, event: ChildEnded) -> None:
    state.children[event.key].open = False
    state.in_flight -= 1
    if event.failure is None:
        state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=event.result))
    else:
        state.resolutions.append(
            Resolution(
                key=event.key,
                at=event.at,
                kind="failure",
                failure=event.failure,
                value=event.run_id,
                child_step=event.step,
                child_attempts=event.attempts,
            )
        )


FOLDS: Final[Mapping[type[Any], Callable[[RunState, Any], None]]] = {
    TimerSet: _timer_set,
    TimerFired: _timer_fired,
    TimerCancelled: _timer_cancelled,
    ChildScheduled: _child_scheduled,
    ChildEnded: _child_ended,
}
