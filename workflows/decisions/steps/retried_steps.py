"""Steps that were begun before their run was retried: which may begin again, and under which key."""

from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.program import ScheduleStep
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.state.run_state import RunState, Step


def may_not_begin_again(step: Step) -> bool:
    """Say whether a step is open that was begun before the run was retried and may be begun once only."""
    return step.status == "scheduled" and step.spent


def give_up_unknown(step: Step, moment: Moment, out: Decision) -> None:
    """End a step that may not be begun again: nobody knows what came of it."""
    failure = step.attempts[-1].failure or Failure(outcome="cancelled", message="it was given up after it had begun")
    out.events.append(ev.StepFailed(at=moment.now, key=step.key, reason="unknown", failure=failure))
    out.then.append(do.ReleaseSteps())


def asked_again(shelved: Step, command: ScheduleStep, moment: Moment, out: Decision) -> None:
    """A step that was forgotten is asked for again: it runs again, but for one that may run once only."""
    if not command.options.once or shelved.arguments != command.arguments:
        out.now.append(do.Dispatch(command.key, shelved.next_attempt))
    elif shelved.status == "completed":
        event = ev.StepCompleted(at=moment.now, key=command.key, attempt=len(shelved.attempts), flagged=shelved.flagged)
        out.events.append(event)
        out.then.append(do.ReleaseSteps())
    else:
        give_up_unknown(shelved, moment, out)


def idempotency_key(state: RunState, step: Step) -> str:
    """Name a call to the world: the same for all its attempts, another one where a retry asks for something else."""
    key = f"{state.run_id}/{step.key}"
    return f"{key}+{step.generation}" if step.generation else key
