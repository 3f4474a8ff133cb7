"""The fold: how every event changes a run's state.

``fold`` is the only code that changes a ``RunState``. It reads nothing but the state and the event, so the state of a
run is the same whoever folds its journal, and however often.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final, Literal

from understudy.messages.events import (
    AnyEvent,
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    ChildEnded,
    ChildScheduled,
    MessageReceived,
    MessageRefused,
    MessageTaken,
    ProgramEnded,
    ProgramStarted,
    ReceiveAsked,
    ReceiveWithdrawn,
    RetryScheduled,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunParked,
    RunPaused,
    RunResumed,
    RunStarted,
    StateChanged,
    StepCompleted,
    StepEvaluated,
    StepFailed,
    StepScheduled,
    TimerCancelled,
    TimerFired,
    TimerSet,
)
from understudy.messages.frames import Resolution
from understudy.messages.records import RunStatus
from understudy.workflows.state import CANCEL_KEY, Attempt, Child, Letter, RunState, Step


def fold_all(events: Iterable[AnyEvent]) -> RunState:
    """Fold a whole journal of one run.

    Raises:
        ValueError: The events do not begin with ``RunStarted``.
    """
    state: RunState | None = None
    for event in events:
        state = fold(state, event)
    if state is None:
        msg = "a run without events has no state"
        raise ValueError(msg)
    state.wait_changes.clear()
    return state


def fold(state: RunState | None, event: AnyEvent) -> RunState:
    """Give the state after ``event``. The state passed in is used up: it may be changed and returned.

    Raises:
        ValueError: There is no state yet and the event is not ``RunStarted``.
    """
    if state is None:
        if not isinstance(event, RunStarted):
            msg = f"a run's first event is run.started, not {event.type}"
            raise ValueError(msg)
        state = RunState(
            run_id=event.run_id,
            app=event.app,
            workflow=event.workflow,
            arguments=event.arguments,
            started_at=event.at,
            parent=event.parent,
            parent_key=event.parent_key,
            seed=event.seed,
        )
    else:
        _FOLDS[type(event)](state, event)
    state.seq += 1
    state.updated_at = event.at
    return state


# ---------------------------------------------------------------- steps


def _step_scheduled(state: RunState, event: StepScheduled) -> None:
    state.steps[event.key] = Step(
        key=event.key,
        name=event.name,
        kind=event.kind,
        ref=event.step,
        arguments=event.arguments,
        options=event.options,
        scheduled_at=event.at,
    )
    state.in_flight += 1


def _attempt_started(state: RunState, event: AttemptStarted) -> None:
    step = state.steps[event.key]
    step.attempts.append(Attempt(event.attempt, event.token, event.worker, event.pid, event.at))
    step.status = "running"
    _clear_retry(state, step)


def _attempt_ended(state: RunState, event: AttemptEnded) -> None:
    step = state.steps[event.key]
    attempt = step.attempts[-1]
    attempt.ended_at = event.at
    attempt.outcome = event.outcome
    attempt.failure = event.failure
    attempt.charged = event.charged
    attempt.usage = event.usage
    if event.outcome == "ok":
        step.result = event.result
        step.status = "evaluating"
    elif event.outcome == "invalid" and event.failure is not None:
        step.feedback.append(event.failure.message)


def _step_evaluated(state: RunState, event: StepEvaluated) -> None:
    step = state.steps[event.key]
    step.evaluations.extend(event.evaluations)
    if event.verdict in {"retry", "fail"}:
        step.attempts[-1].outcome = "rejected"
        step.result = None
        step.feedback.extend(
            f"{item.name} gave {item.score:.2f} where {item.threshold:.2f} is needed: {item.reason}".rstrip(": ")
            for item in event.evaluations
            if not item.passed and item.score is not None
        )


def _retry_scheduled(state: RunState, event: RetryScheduled) -> None:
    step = state.steps[event.key]
    step.status = "retrying"
    step.retry_at = event.due
    state.retries[event.key] = event.due
    step.solo = event.solo
    state.wait_changes.append((f"retry:{event.key}", event.due))


def _step_completed(state: RunState, event: StepCompleted) -> None:
    step = state.steps[event.key]
    step.status = "completed"
    step.flagged = event.flagged
    step.ended_at = event.at
    state.in_flight -= 1
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=step.result))


def _step_failed(state: RunState, event: StepFailed) -> None:
    step = state.steps[event.key]
    cancelled = event.reason == "cancelled"
    step.status = "cancelled" if cancelled else "failed"
    step.ended_at = event.at
    state.in_flight -= 1
    _clear_retry(state, step)
    if not cancelled:  # a cancelled step is one that the program no longer awaits
        state.resolutions.append(
            Resolution(
                key=event.key,
                at=event.at,
                kind="failure",
                failure=event.failure,
                reason=event.reason,
                attempts=len(step.attempts),
            )
        )


def _clear_retry(state: RunState, step: Step) -> None:
    if step.retry_at is not None:
        step.retry_at = None
        del state.retries[step.key]
        state.wait_changes.append((f"retry:{step.key}", None))


# ---------------------------------------------------------------- timers and children


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


def _message_received(state: RunState, event: MessageReceived) -> None:
    state.received = event.number
    state.mailbox[event.number] = Letter(event.name, event.value)
    if event.key is not None:
        state.message_keys.add(event.key)


def _receive_asked(state: RunState, event: ReceiveAsked) -> None:
    state.receives[event.key] = event.name


def _message_taken(state: RunState, event: MessageTaken) -> None:
    del state.receives[event.key]
    letter = state.mailbox.pop(event.number)
    state.taken[event.key] = event.number, letter
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=letter.value))


def _message_refused(state: RunState, event: MessageRefused) -> None:
    state.refused.add(event.key)


def _receive_withdrawn(state: RunState, event: ReceiveWithdrawn) -> None:
    state.receives.pop(event.key, None)
    given = state.taken.get(event.key)
    state.taken[event.key] = None
    if given is not None:
        state.mailbox = dict(sorted([*state.mailbox.items(), given], key=itemgetter(0)))


def _child_scheduled(state: RunState, event: ChildScheduled) -> None:
    state.children[event.key] = Child(event.run_id, event.app, event.workflow, event.arguments)
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


# ---------------------------------------------------------------- the run itself


def _state_changed(state: RunState, event: StateChanged) -> None:
    state.shared = event.state


def _program_started(state: RunState, event: ProgramStarted) -> None:
    state.program = event.worker


def _program_ended(state: RunState, event: ProgramEnded) -> None:
    state.program = None
    state.program_crashes += event.charged


def _cancel_requested(state: RunState, event: CancelRequested) -> None:
    state.cancel_requested = event.at
    state.reason = event.reason
    state.resolutions.append(Resolution(key=CANCEL_KEY, at=event.at, kind="cancel"))


def _run_completed(state: RunState, event: RunCompleted) -> None:
    state.result = event.result
    _end(state, "completed", event.at)


def _run_failed(state: RunState, event: RunFailed) -> None:
    state.failure = event.failure
    state.failed_step = event.step
    state.reason = event.failure.sentence()
    _end(state, "failed", event.at)


def _run_cancelled(state: RunState, event: RunCancelled) -> None:
    state.reason = event.reason
    _end(state, "cancelled", event.at)


def _end(state: RunState, status: RunStatus, at: float) -> None:
    state.ended = status
    state.ended_at = at
    state.program = None
    state.halted = None
    for key in state.timers:
        state.wait_changes.append((key, None))
    state.timers.clear()


def _run_parked(state: RunState, event: RunParked) -> None:
    _halt(state, "parked", event.reason)


def _run_paused(state: RunState, event: RunPaused) -> None:
    _halt(state, "paused", event.reason)


def _halt(state: RunState, status: Literal["parked", "paused"], reason: str | None) -> None:
    state.halted = status
    state.reason = reason
    state.program = None


def _run_resumed(state: RunState, event: RunResumed) -> None:  # noqa: ARG001  every fold takes state and event
    state.halted = None
    state.reason = None
    state.program_crashes = 0


_FOLDS: Final[dict[type[Any], Callable[[RunState, Any], None]]] = {
    StepScheduled: _step_scheduled,
    AttemptStarted: _attempt_started,
    AttemptEnded: _attempt_ended,
    StepEvaluated: _step_evaluated,
    RetryScheduled: _retry_scheduled,
    StepCompleted: _step_completed,
    StepFailed: _step_failed,
    TimerSet: _timer_set,
    TimerFired: _timer_fired,
    TimerCancelled: _timer_cancelled,
    ChildScheduled: _child_scheduled,
    ChildEnded: _child_ended,
    MessageReceived: _message_received,
    ReceiveAsked: _receive_asked,
    MessageTaken: _message_taken,
    MessageRefused: _message_refused,
    ReceiveWithdrawn: _receive_withdrawn,
    StateChanged: _state_changed,
    ProgramStarted: _program_started,
    ProgramEnded: _program_ended,
    CancelRequested: _cancel_requested,
    RunCompleted: _run_completed,
    RunFailed: _run_failed,
    RunCancelled: _run_cancelled,
    RunParked: _run_parked,
    RunPaused: _run_paused,
    RunResumed: _run_resumed,
}
