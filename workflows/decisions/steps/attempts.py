"""Decisions about the attempts of a step: their start, outcome, evaluation and retry. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from greenroom.messages.core.failures import Exit, Failure, Outcome
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.records.evaluation import Evaluation, deciding
from greenroom.messages.transcript import read_answer
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.evaluation.sampling import sample_step
from greenroom.workflows.decisions.evaluation.verdict import verdict
from greenroom.workflows.decisions.steps import judges, quota
from greenroom.workflows.decisions.steps.approvals import escalate, step_withdrawn
from greenroom.workflows.decisions.steps.retry_policy import Again, PastAttempt, next_attempt
from greenroom.workflows.decisions.steps.streams import add_final, discard
from greenroom.workflows.state.run_state import Attempt, RunState, Step
from greenroom.workflows.state.steps import complaints

LONGEST_REASON: Final = 300
"""Most characters of what a failure says of one evaluator. Its evaluation holds the whole reason."""


def _current(state: RunState, key: str, token: str) -> tuple[Step, Attempt] | None:
    """Return the running attempt that a token names, or None if the token has been superseded."""
    step = state.steps.get(key)
    attempt = step.running if step is not None else None
    return (step, attempt) if step is not None and attempt is not None and attempt.token == token else None


def _end_attempt(
    out: Decision,
    step: Step,
    attempt: Attempt,
    outcome: Outcome,
    *,
    failure: Failure | None = None,
    result: Any = None,
    charged: bool = True,
    usage: dict[str, float] | None = None,
) -> None:
    out.record(
        ev.AttemptEnded(
            at=out.at,
            key=step.key,
            attempt=attempt.number,
            token=attempt.token,
            outcome=outcome,
            result=result,
            failure=failure,
            charged=charged,
            usage=usage or {},
        )
    )


def dispatch_if_due(out: Decision, step: Step) -> None:
    """Give the next attempt of a step to its pool, if the step awaits a worker and its backoff is over."""
    if step.awaits_worker and (step.retry_at is None or step.retry_at <= out.at):
        out.dispatch(step.key, step.next_attempt)


def step_assigned(out: Decision, happened: inputs.StepAssigned) -> None:
    """Record which worker has an attempt, and let the attempt begin if it was held for that.

    If its start was recorded before, the worker chosen then has died without having begun it.
    """
    state, step = out.state, out.state.steps.get(happened.key)
    if _current(state, happened.key, happened.token) is not None:
        _assign(out, ev.AttemptMoved, happened)
    elif step is None or not step.open or step.next_attempt != happened.attempt or state.halted == "paused":
        return  # it was withdrawn meanwhile
    elif out.overdraft is not None:
        out.held_back = True
        out.now.append(do.WithdrawStep(happened.key))
    else:
        _assign(out, ev.AttemptStarted, happened)
        if held(state, step):
            out.then.append(do.SendHeld(happened.token))


def _assign(out: Decision, kind: type[ev.AttemptStarted | ev.AttemptMoved], happened: inputs.StepAssigned) -> None:
    event = kind(
        at=out.at if happened.at is None else max(happened.at, out.state.updated_at),
        key=happened.key,
        attempt=happened.attempt,
        token=happened.token,
        worker=happened.worker,
        pid=happened.pid,
        incarnation=happened.incarnation,
    )
    if happened.reserved is not None and isinstance(event, ev.AttemptStarted):
        event = event.model_copy(update={"reserved": happened.reserved})
    out.record(event)


def step_unaffordable(out: Decision, key: str) -> None:
    """Stop the run for the budget that does not allow an attempt. If it was raised meanwhile, dispatch the attempt."""
    step = out.state.steps.get(key)
    if step is None or not step.awaits_worker or out.state.halted is not None:
        return
    if out.overdraft is None:
        dispatch_if_due(out, step)
    else:
        out.held_back = True


def held(state: RunState, step: Step) -> bool:
    """Return whether the start of an attempt must be committed before it begins.

    So it is if running it twice costs something, or a budget limits it.
    """
    return bool(state.accounts) or step.options.once or step.kind == "llm"


def zygotes_lost(step: Step) -> int:
    """Count the attempts of a step that ended because the zygote of their worker died."""
    if not step.attempts:
        return 0
    failures = (past.failure for past in step.attempts[step.forgiven :])
    return sum(f is not None and f.exit is not None and f.exit.kind == "backend_lost" for f in failures)


def step_answered(out: Decision, happened: inputs.StepAnswered) -> None:
    """Record the outcome of an attempt, and evaluate its result, use it, or try again."""
    if happened.assigned is not None:
        step_assigned(out, happened.assigned)
    found = _current(out.state, happened.key, happened.token)
    if found is None:
        return
    step, attempt = found
    message = happened.message
    if isinstance(message, frames.Failed):
        failure = message.failure
        waits = quota.waits(out.state, step, failure)
        _end_attempt(out, step, attempt, failure.outcome, failure=failure, usage=message.usage, charged=not waits)
        if waits:
            quota.hold(out, step, failure)
            return
        _retry_or_fail(out, step, failure)
        dispatch_if_due(out, step)
        return
    _end_attempt(out, step, attempt, "ok", result=message.result, usage=message.usage)
    if step.options.accept and (step.transcript is None or read_answer(message.result).final):
        out.now.append(do.Judge(step.key, attempt.number))
    else:
        _complete(out, step, attempt.number, flagged=False)


def step_progressed(out: Decision, happened: inputs.StepProgressed) -> None:
    """Record the progress that an attempt reports."""
    key, attempt, token = happened.key, happened.attempt, happened.token
    if _current(out.state, key, token) is not None:
        out.record(ev.AttemptProgressed(at=out.at, key=key, attempt=attempt, token=token, detail=happened.detail))


def step_lost(out: Decision, happened: inputs.StepLost) -> None:
    """Record the crash or timeout of an attempt, which is charged to the step unless something else caused it."""
    found = _current(out.state, happened.key, happened.token)
    if found is not None:
        step, attempt = found
        attempt_lost(out, step, attempt, happened.exit, charged=happened.charged)
        dispatch_if_due(out, step)


def attempt_lost(out: Decision, step: Step, attempt: Attempt, gone: Exit, *, charged: bool) -> None:
    """End an attempt whose process ended, and schedule the next one or fail the step."""
    outcome: Outcome = "timeout" if gone.kind == "timeout" else "crash"
    limit = f" of {step.options.timeout:g} s" if step.options.timeout is not None else ""
    overran = f"overran its time{limit} and was killed; `timeout=` gives it more"
    message = overran if outcome == "timeout" else f"the worker {gone.sentence()}"
    trace, place = gone.stood()
    failure = Failure(outcome=outcome, message=message, traceback=trace, place=place, exit=gone)
    _end_attempt(out, step, attempt, outcome, failure=failure, charged=charged)
    _retry_or_fail(out, step, failure)


def _retry_or_fail(out: Decision, step: Step, failure: Failure) -> None:
    """Apply the retry policy to a step whose newest attempt has ended with ``failure``."""
    discard(out, step)
    counted = step.attempts[step.forgiven :]
    history = [PastAttempt(past.outcome or "cancelled", past.charged, past.failure) for past in counted[:-1]]
    last = PastAttempt(counted[-1].outcome or "cancelled", counted[-1].charged, failure)
    elapsed = out.at - quota.first_counted(counted).started_at
    match next_attempt(step.options, [*history, last], elapsed, out.unit):
        case Again(delay=delay, solo=solo):
            attempt, due = step.next_attempt, out.at + delay
            out.record(ev.RetryScheduled(at=out.at, key=step.key, attempt=attempt, due=due, solo=solo))
        case give_up:
            reason = "rejected" if last.outcome == "rejected" else give_up.reason
            out.record(ev.StepFailed(at=out.at, key=step.key, reason=reason, failure=failure))
            out.then.append(do.ReleaseSteps())


def _complete(out: Decision, step: Step, attempt: int, *, flagged: bool) -> None:
    if step.options.stream is not None:
        add_final(out, step)
    out.record(ev.StepCompleted(at=out.at, key=step.key, attempt=attempt, flagged=flagged))
    if step.options.sample is not None:
        sample_step(out, step, attempt, step.options.sample)
    out.then.append(do.ReleaseSteps())


def step_judged(out: Decision, happened: inputs.StepJudged) -> None:
    """Record the verdict on a result, and use it, flag it, ask a person, try again, or fail the step."""
    step, number, evaluations = out.state.steps.get(happened.key), happened.attempt, happened.evaluations
    if step is None or step.status != "evaluating" or len(step.attempts) != number:
        return
    if judges.wait_for_quota(out, step, happened):
        return
    decided = verdict(evaluations, step.options.on_reject, step.options.on_evaluator_error)
    out.record(
        ev.StepEvaluated(
            at=out.at,
            key=step.key,
            attempt=number,
            verdict=decided,
            evaluations=evaluations,
            settled=happened.settled,
        )
    )
    if decided in {"accept", "flag"}:
        _complete(out, step, number, flagged=decided == "flag")
    elif decided == "escalate":
        escalate(out, step, number, evaluations)
    else:
        failure = Failure(outcome="rejected", message=_why_rejected(evaluations), fatal=decided == "fail")
        _retry_or_fail(out, step, failure)
        dispatch_if_due(out, step)


def _why_rejected(evaluations: Sequence[Evaluation]) -> str:
    """Say what the evaluators that rejected a result found or, if none did, why some failed."""
    if found := [" ".join(complaint.split()) for complaint in complaints(evaluations)]:
        shown = (each if len(each) <= LONGEST_REASON else f"{each[:LONGEST_REASON]}..." for each in found)
        return f"rejected: {'; '.join(shown)}"
    return "; ".join(f"evaluator {item.name} failed: {item.error}" for item in deciding(evaluations) if not item.passed)


def cancel_step(out: Decision, step: Step) -> None:
    """Stop a step that is no longer awaited."""
    step_withdrawn(out, step)
    failure = Failure(outcome="cancelled", message="no longer awaited")
    if (attempt := step.running) is not None:
        _end_attempt(out, step, attempt, "cancelled", failure=failure, charged=False)
    judges.end_calls(out, step)
    discard(out, step)
    out.now.append(do.WithdrawStep(step.key))
    out.record(ev.StepFailed(at=out.at, key=step.key, reason="cancelled", failure=failure))
