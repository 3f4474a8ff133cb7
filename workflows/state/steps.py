"""Events about a run's steps, applied to its state."""

from collections.abc import Iterable, Iterator
from typing import Final

from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Resolution
from greenroom.messages.records.evaluation import Evaluation, deciding, in_figures
from greenroom.workflows.state import run_retry_and_fork
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import Attempt, RunState, Step
from greenroom.workflows.state.transcripts import remember_answer, remember_use

_ROUNDING: Final = 1e-9
"""Differences of sums that are not more than this are none."""


def _step_scheduled(state: RunState, event: ev.StepScheduled) -> None:
    state.steps[event.key] = Step(
        key=event.key,
        name=event.name,
        kind=event.kind,
        ref=event.step,
        arguments=event.arguments,
        options=event.options,
        scheduled_at=event.at,
    )
    if event.transcript is not None:
        remember_use(state, state.steps[event.key], event.transcript)
    run_retry_and_fork.unshelve(state, state.steps[event.key])
    state.in_flight += 1
    state.asked[event.key] = state.seq + 1


def _attempt_started(state: RunState, event: ev.AttemptStarted) -> None:
    step = state.steps[event.key]
    attempt = Attempt(event.attempt, event.token, event.worker, event.pid, event.at)
    attempt.reserved = event.reserved
    step.attempts.append(attempt)
    step.status = "running"
    _clear_retry(state, step)


def _attempt_moved(state: RunState, event: ev.AttemptMoved) -> None:
    attempt = state.steps[event.key].attempts[-1]
    attempt.worker, attempt.pid = event.worker, event.pid


def _attempt_progressed(state: RunState, event: ev.AttemptProgressed) -> None:
    state.steps[event.key].attempts[-1].progress = event.detail


def _step_emitted(state: RunState, event: ev.StepEmitted) -> None:
    state.offsets[event.channel] = event.offset + 1
    channels = state.steps[event.key].attempts[-1].channels
    if event.channel not in channels:
        channels.append(event.channel)


def _values_discarded(state: RunState, event: ev.ValuesDiscarded) -> None:
    for channel, offset in event.offsets.items():
        state.offsets[channel] = offset + 1
    state.steps[event.key].attempts[-1].channels.clear()


def _attempt_ended(state: RunState, event: ev.AttemptEnded) -> None:
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


def _judge_asked(state: RunState, event: ev.JudgeAsked) -> None:
    state.steps[event.key].judging.add(event.token)


def _judge_answered(state: RunState, event: ev.JudgeAnswered) -> None:
    step = state.steps[event.key]
    step.judging.discard(event.token)
    for name, amount in event.usage.items():
        step.judges_usage[name] = step.judges_usage.get(name, 0.0) + amount


def _step_evaluated(state: RunState, event: ev.StepEvaluated) -> None:
    step = state.steps[event.key]
    step.evaluations.extend(event.evaluations)
    for name, amount in event.settled.items():
        left = step.judges_usage.pop(name, 0.0) - amount
        if left > _ROUNDING:
            step.judges_usage[name] = left
    if event.verdict in {"retry", "fail"}:
        step.attempts[-1].outcome = "rejected"
        step.result = None
        step.feedback.extend(complaints(event.evaluations))


def complaints(evaluations: Iterable[Evaluation]) -> Iterator[str]:
    """Yield a sentence for each evaluation whose score is too low. A majority is more than its threshold."""
    for item in deciding(evaluations):
        if not item.passed and item.score is not None:
            score, threshold = in_figures(item.score, item.threshold)
            more = "more than " if item.score >= item.threshold else ""
            yield f"{item.name} gave {score} where {more}{threshold} is needed: {item.reason}".rstrip(": ")


def _retry_scheduled(state: RunState, event: ev.RetryScheduled) -> None:
    step = state.steps[event.key]
    step.status = "retrying"
    step.retry_at = event.due
    state.retries[event.key] = event.due
    step.solo = event.solo
    state.wait_changes.append((f"retry:{event.key}", event.due))


def _step_completed(state: RunState, event: ev.StepCompleted) -> None:
    step = state.steps[event.key]
    step.status = "completed"
    step.flagged = event.flagged
    step.ended_at = event.at
    state.in_flight -= 1
    if step.transcript is not None:
        remember_answer(state, step, step.transcript)
    if step.attempts:
        step.attempts[-1].channels.clear()
    state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=step.result))


def _step_failed(state: RunState, event: ev.StepFailed) -> None:
    step = state.steps[event.key]
    cancelled = event.reason == "cancelled"
    if event.reason == "quarantined":
        state.mark_changes.append(("dead_letter", event.key, state.seq + 1))
    step.status = "cancelled" if cancelled else "failed"
    step.ended_at = event.at
    state.in_flight -= 1
    _clear_retry(state, step)
    if not cancelled:  # the program no longer awaits a cancelled step
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


HANDLERS: Final = (
    handler(ev.StepScheduled, _step_scheduled),
    handler(ev.AttemptStarted, _attempt_started),
    handler(ev.AttemptMoved, _attempt_moved),
    handler(ev.AttemptProgressed, _attempt_progressed),
    handler(ev.StepEmitted, _step_emitted),
    handler(ev.ValuesDiscarded, _values_discarded),
    handler(ev.AttemptEnded, _attempt_ended),
    handler(ev.JudgeAsked, _judge_asked),
    handler(ev.JudgeAnswered, _judge_answered),
    handler(ev.StepEvaluated, _step_evaluated),
    handler(ev.RetryScheduled, _retry_scheduled),
    handler(ev.StepCompleted, _step_completed),
    handler(ev.StepFailed, _step_failed),
)
