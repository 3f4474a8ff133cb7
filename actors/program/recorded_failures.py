"""Recorded failures of steps and child runs, as the exceptions that a workflow's code sees."""

from greenroom.actors.failures.reconstruction import reconstructed
from greenroom.messages.core.errors import (
    OutcomeUnknown,
    RunCancelled,
    RunFailed,
    StepFailed,
    StepQuarantined,
    StepRejected,
)
from greenroom.messages.core.json_text import plain, shown
from greenroom.messages.frames.worker import Resolution


def exception_of(resolution: Resolution) -> Exception:
    """Return the exception that a recorded failure raises in the workflow's code."""
    failure = resolution.failure
    assert failure is not None
    if resolution.reason == "":
        message = failure.told()
        if failure.outcome == "cancelled":
            cancelled = RunCancelled(message)
            cancelled.call = resolution.key
            return cancelled
        step, attempts = resolution.child_step, shown(resolution.child_attempts)
        fallen = RunFailed(message, run_id=str(plain(resolution.value)), step=step, attempts=attempts)
        fallen.call = resolution.key
        return reconstructed(fallen, failure)
    classes: dict[str, type[StepFailed]] = {
        "quarantined": StepQuarantined,
        "unknown": OutcomeUnknown,
        "rejected": StepRejected,
    }
    cls = classes.get(resolution.reason, StepFailed)
    many = f"after {resolution.attempts} attempt{'s' if resolution.attempts != 1 else ''}"
    error = cls(
        f"step {resolution.key} failed {many}: {failure.sentence()}",
        step=resolution.key,
        attempts=resolution.attempts,
        outcome=failure.outcome,
        error=failure.type,
    )
    return reconstructed(error, failure)
