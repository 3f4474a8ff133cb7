"""Decisions about steps that were begun before their run was retried. Pure."""

from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.program import ScheduleStep
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.run_state import RunState, Step


def may_not_begin_again(step: Step) -> bool:
    """Return whether an open step may be begun once only, and was begun before the run was retried."""
    return step.status == "scheduled" and step.spent


def give_up_unknown(out: Decision, step: Step) -> None:
    """Fail a step that may not be begun again: its outcome is unknown."""
    failure = step.attempts[-1].failure or Failure(outcome="cancelled", message="it was given up after it had begun")
    out.record(ev.StepFailed(at=out.at, key=step.key, reason="unknown", failure=failure))
    out.then.append(do.ReleaseSteps())


def asked_again(out: Decision, shelved: Step, command: ScheduleStep) -> None:
    """Begin a step again whose earlier call was forgotten. A step that may run once only keeps that call's outcome."""
    if not command.options.once or shelved.arguments != command.arguments:
        out.dispatch(command.key, shelved.next_attempt)
    elif shelved.status == "completed":
        attempt = len(shelved.attempts)
        out.record(ev.StepCompleted(at=out.at, key=command.key, attempt=attempt, flagged=shelved.flagged))
        out.then.append(do.ReleaseSteps())
    else:
        give_up_unknown(out, shelved)


def idempotency_key(state: RunState, step: Step) -> str:
    """Return the key of a call for services outside: the same for all attempts, another one for other arguments."""
    key = f"{state.run_id}/{step.key}"
    return f"{key}+{step.generation}" if step.generation else key
