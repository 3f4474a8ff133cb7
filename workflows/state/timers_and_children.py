"""Events about a run's timers and children, applied to its state."""

from typing import Final

from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Resolution
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import Child, RunState


def _timer_set(state: RunState, event: ev.TimerSet) -> None:
    state.timers[event.key] = event.due
    state.timer_keys.add(event.key)
    state.asked[event.key] = state.seq + 1
    state.wait_changes.append((event.key, event.due))


def _timer_fired(state: RunState, event: ev.TimerFired) -> None:
    del state.timers[event.key]
    state.wait_changes.append((event.key, None))
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="timer"))


def _timer_cancelled(state: RunState, event: ev.TimerCancelled) -> None:
    state.timers.pop(event.key, None)
    state.wait_changes.append((event.key, None))


def _child_scheduled(state: RunState, event: ev.ChildScheduled) -> None:
    state.children[event.key] = Child(
        event.run_id, event.app, event.workflow, event.arguments, event.version, event.fingerprint, event.budget
    )
    state.children_made += 1
    state.asked[event.key] = state.seq + 1
    state.in_flight += 1


def _child_ended(state: RunState, event: ev.ChildEnded) -> None:
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


HANDLERS: Final = (
    handler(ev.TimerSet, _timer_set),
    handler(ev.TimerFired, _timer_fired),
    handler(ev.TimerCancelled, _timer_cancelled),
    handler(ev.ChildScheduled, _child_scheduled),
    handler(ev.ChildEnded, _child_ended),
)
