"""What a supervisor does about the attempts of a step: the half of ``decide`` that knows retries and verdicts.

Pure like the rest of it: the state is only read, and everything decided is written into a ``Decision``.
"""

from collections.abc import Sequence
from typing import Any

from greenroom.messages.core.failures import Exit, Failure, Outcome
from greenroom.messages.evaluation import Evaluation
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.approvals import escalate, step_withdrawn
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.decisions.steps.retry_policy import Again, PastAttempt, next_attempt
from greenroom.workflows.decisions.steps.verdict import verdict
from greenroom.workflows.state.run_state import Attempt, RunState, Step


def _current(state: RunState, key: str, token: str) -> tuple[Step, Attempt] | None:
    """Give the running attempt that a token names; None where that token has been superseded."""
    step = state.steps.get(key)
    attempt = step.running if step is not None else None
    return (step, attempt) if step is not None and attempt is not None and attempt.token == token else None


def _attempt_ended(
    step: Step,
    attempt: Attempt,
    moment: Moment,
    outcome: Outcome,
    *,
    failure: Failure | None = None,
    result: Any = None,
    charged: bool = True,
    usage: dict[str, float] | None = None,
) -> ev.AttemptEnded:
    return ev.AttemptEnded(
        at=moment.now,
        key=step.key,
        attempt=attempt.number,
        token=attempt.token,
        outcome=outcome,
        result=result,
        failure=failure,
        charged=charged,
        usage=usage or {},
    )


def step_assigned(state: RunState, happened: do.StepAssigned, moment: Moment, out: Decision) -> None:
    """A worker was chosen: record the attempt, and let it begin if it was held for that.

    Where it was recorded before, the worker chosen then has died without having begun it.
    """
    if _current(state, happened.key, happened.token) is not None:
        out.events.append(_assigned(ev.AttemptMoved, happened, moment))
        return
    step = state.steps.get(happened.key)
    if step is None or not step.open or step.next_attempt != happened.attempt or state.halted == "paused":
        return  # it has been taken back meanwhile
    out.events.append(_assigned(ev.AttemptStarted, happened, moment))
    if held(state, step):
        out.then.append(do.SendHeld(happened.token))


def _assigned(
    kind: type[ev.AttemptStarted | ev.AttemptMoved], happened: do.StepAssigned, moment: Moment
) -> ev.AttemptStarted | ev.AttemptMoved:
    """Record which worker has an attempt."""
    return kind(
        at=moment.now,
        key=happened.key,
        attempt=happened.attempt,
        token=happened.token,
        worker=happened.worker,
        pid=happened.pid,
        incarnation=happened.incarnation,
    )


def held(state: RunState, step: Step) -> bool:
    """Whether an attempt must be on the disk before it begins: where running it twice costs, or a budget limits it."""
    return bool(state.accounts) or step.options.once or step.kind == "llm"


def zygotes_lost(step: Step) -> int:
    """Count the attempts of a step that ended because the process died from which their workers were forked."""
    if not step.attempts:
        return 0
    failures = (past.failure for past in step.attempts[step.forgiven :])
    return sum(f is not None and f.exit is not None and f.exit.kind == "backend_lost" for f in failures)


def step_answered(state: RunState, happened: do.StepAnswered, moment: Moment, out: Decision) -> None:
    """A worker said how an attempt ended: judge its result, hand it on, or try again."""
    found = _current(state, happened.key, happened.token)
    if found is None:
        return
    step, attempt = found
    message = happened.message
    if isinstance(message, frames.Failed):
        event = _attempt_ended(
            step, attempt, moment, message.failure.outcome, failure=message.failure, usage=message.usage
        )
        out.events.append(event)
        past = PastAttempt(event.outcome, charged=True, failure=message.failure)
        _retry_or_fail(state, step, past, message.failure, moment, out)
        return
    out.events.append(_attempt_ended(step, attempt, moment, "ok", result=message.result, usage=message.usage))
    if step.options.accept:
        out.now.append(do.Judge(step.key, attempt.number))
    else:
        _complete(step, attempt.number, moment, out, flagged=False)


def step_progressed(state: RunState, happened: do.StepProgressed, moment: Moment, out: Decision) -> None:
    """An attempt has said how far it is."""
    if _current(state, happened.key, happened.token) is not None:
        out.events.append(
            ev.AttemptProgressed(
                at=moment.now,
                key=happened.key,
                attempt=happened.attempt,
                token=happened.token,
                detail=happened.detail,
            )
        )


def step_lost(state: RunState, happened: do.StepLost, moment: Moment, out: Decision) -> None:
    """A worker is gone: the crash or timeout counts as an attempt, unless the step is not to blame."""
    found = _current(state, happened.key, happened.token)
    if found is not None:
        attempt_lost(state, *found, happened.exit, charged=happened.charged, moment=moment, out=out)


def attempt_lost(
    state: RunState, step: Step, attempt: Attempt, gone: Exit, *, charged: bool, moment: Moment, out: Decision
) -> None:
    """End an attempt whose process ended, and decide about the next one."""
    outcome: Outcome = "timeout" if gone.kind == "timeout" else "crash"
    limit = f" of {step.options.timeout:g} s" if step.options.timeout is not None else ""
    message = f"overran its time{limit} and was killed" if outcome == "timeout" else f"the worker {gone.sentence()}"
    trace, place = gone.stood()
    failure = Failure(outcome=outcome, message=message, traceback=trace, place=place, exit=gone)
    out.events.append(_attempt_ended(step, attempt, moment, outcome, failure=failure, charged=charged))
    _retry_or_fail(state, step, PastAttempt(outcome, charged=charged, failure=failure), failure, moment, out)


def _retry_or_fail(
    state: RunState, step: Step, last: PastAttempt, failure: Failure, moment: Moment, out: Decision
) -> None:
    """Apply the retry policy to a step whose newest attempt, ``last``, gave nothing."""
    history = [
        PastAttempt(past.outcome or "cancelled", past.charged, past.failure)
        for past in step.attempts[step.forgiven : -1]
    ]
    elapsed = moment.now - step.attempts[step.forgiven].started_at
    match next_attempt(step.options, [*history, last], elapsed, moment.unit):
        case Again(delay=delay, solo=solo):
            attempt = step.next_attempt
            due = moment.now + delay
            out.events.append(ev.RetryScheduled(at=moment.now, key=step.key, attempt=attempt, due=due, solo=solo))
            if delay <= 0 and not state.halted:
                out.now.append(do.Dispatch(step.key, attempt))
        case give_up:
            reason = "rejected" if last.outcome == "rejected" else give_up.reason
            out.events.append(ev.StepFailed(at=moment.now, key=step.key, reason=reason, failure=failure))
            out.then.append(do.ReleaseSteps())


def _complete(step: Step, attempt: int, moment: Moment, out: Decision, *, flagged: bool) -> None:
    out.events.append(ev.StepCompleted(at=moment.now, key=step.key, attempt=attempt, flagged=flagged))
    out.then.append(do.ReleaseSteps())


def step_judged(state: RunState, happened: do.StepJudged, moment: Moment, out: Decision) -> None:
    """All evaluators have looked at a result: use it, flag it, try again, or fail the step."""
    step = state.steps.get(happened.key)
    if step is None or step.status != "evaluating" or len(step.attempts) != happened.attempt:
        return
    options = step.options
    decided = verdict(happened.evaluations, options.on_reject, options.on_evaluator_error)
    out.events.append(
        ev.StepEvaluated(
            at=moment.now,
            key=step.key,
            attempt=happened.attempt,
            verdict=decided,
            evaluations=happened.evaluations,
        )
    )
    if decided in {"accept", "flag"}:
        _complete(step, happened.attempt, moment, out, flagged=decided == "flag")
        return
    if decided == "escalate":
        escalate(step, happened.attempt, happened.evaluations, moment, out)
        return
    failure = Failure(outcome="rejected", message=_why_rejected(happened.evaluations), fatal=decided == "fail")
    _retry_or_fail(state, step, PastAttempt("rejected", charged=True, failure=failure), failure, moment, out)


def _why_rejected(evaluations: Sequence[Evaluation]) -> str:
    """Say who refused a result; where nobody did, why nobody knows."""
    low = [item.name for item in evaluations if not item.passed and item.score is not None]
    if low:
        return f"rejected by {', '.join(low)}"
    return "; ".join(f"evaluator {item.name} failed: {item.error}" for item in evaluations if not item.passed)


def cancel_step(state: RunState, step: Step, moment: Moment, out: Decision) -> None:
    """Stop a step that nobody awaits any more."""
    step_withdrawn(state, step, moment, out)
    failure = Failure(outcome="cancelled", message="no longer awaited")
    if (attempt := step.running) is not None:
        out.events.append(_attempt_ended(step, attempt, moment, "cancelled", failure=failure, charged=False))
    out.now.append(do.WithdrawStep(step.key))
    out.events.append(ev.StepFailed(at=moment.now, key=step.key, reason="cancelled", failure=failure))
