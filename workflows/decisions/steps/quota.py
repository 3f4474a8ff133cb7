"""Decisions about steps whose model has no quota left: the run waits until a person has topped the account up. Pure.

The refused attempt is recorded and not charged to the step, and another one follows when the run is resumed. A run that
another one awaits is paused, and tells that one, so that the run at the top is parked, and its ``resume`` is enough.
"""

from collections.abc import Sequence
from typing import Final

from greenroom.messages.advice import resume
from greenroom.messages.core.errors import QuotaExceeded
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import class_name
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budgets.halts import stop
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.steps.retry_policy import forbids
from greenroom.workflows.decisions.steps.streams import discard
from greenroom.workflows.state.run_state import Attempt, RunState, Step

_CLASS: Final = class_name(QuotaExceeded)


def is_refusal(failure: Failure) -> bool:
    """Return whether an account at a model's provider has no quota left."""
    return failure.outcome == "error" and _CLASS in failure.classes


def waits(state: RunState, step: Step, failure: Failure) -> bool:
    """Return whether the run waits for quota, and the step is tried again then.

    Otherwise the step fails: if another model takes over, if it may be begun once only, if its author has named the
    exception in ``Retry.never``, and during the cleanup of a cancelled run, which is to end.
    """
    return is_refusal(failure) and not (
        step.options.has_fallback
        or step.options.once
        or forbids(step.options.retry, failure)
        or state.cancel_requested is not None
        or state.turn_cancelled
    )


def hold(out: Decision, step: Step, failure: Failure) -> None:
    """Stop the run after an attempt was refused, and have it made again when the run goes on."""
    discard(out, step)
    out.record(ev.RetryScheduled(at=out.at, key=step.key, attempt=step.next_attempt, due=out.at, solo=step.solo))
    last = failure.members[-1] if failure.members else failure  # of several models that fall back to each other
    stop_for(out, f"step {step.key}", last.message)


def stop_for(out: Decision, what: str, message: str) -> None:
    """Stop the run because ``what`` in it was refused with a message."""
    if out.state.parent is not None:
        what = f"{what} of run {out.state.run_id}"
    _stop(out, f"{what} waits for quota: {message.rstrip('.')}")


def child_refused(out: Decision, happened: inputs.ChildRefused) -> None:
    """Stop the run because a run below it waits for quota; let that go on if this one was resumed since."""
    state = out.state
    if state.halted is not None or state.cancel_requested is not None or state.turn_cancelled:
        return
    if happened.since > state.resumed_at:
        _stop(out, happened.reason)
    else:  # it was read from the journal in order to be resumed, or the order was lost in a crash
        out.then.extend(do.ResumeChild(key) for key, child in state.children.items() if child.open)


def remind(out: Decision) -> None:
    """Tell the run that awaits this one why this one is paused. It may not have been told before a crash."""
    state = out.state
    if state.refused_at is not None and state.parent is not None:
        out.then.append(do.TellRefused(state.parent, _bare(state), state.refused_at))


def first_counted(attempts: Sequence[Attempt]) -> Attempt:
    """Return the attempt from which on the time of a step counts: not while its run waited for quota."""
    after = (number for number, past in enumerate(attempts, 1) if not past.charged and _was_refused(past))
    return attempts[min(max(after, default=0), len(attempts) - 1)]


def _was_refused(attempt: Attempt) -> bool:
    return attempt.failure is not None and is_refusal(attempt.failure)


_ABOVE: Final = "; it goes on with run "


def _stop(out: Decision, reason: str) -> None:
    state = out.state
    if state.halted is not None:
        return  # a pause goes on until it is resumed, and then the attempt is refused again
    if state.parent is None:
        way = f"once the account has quota again, {resume(state.run_id)} goes on with it"
        out.record(ev.RunParked(at=out.at, reason=f"{reason}; {way}"))
        out.then.append(do.Announce())
    else:
        out.record(ev.RunPaused(at=out.at, reason=f"{reason}{_ABOVE}{state.parent}", quota=True))
        out.then.append(do.TellRefused(state.parent, reason, out.at))
    stop(out)


def _bare(state: RunState) -> str:
    """Return why a run was paused, without how it goes on."""
    return (state.reason or "").removesuffix(f"{_ABOVE}{state.parent}")
