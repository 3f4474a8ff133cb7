"""Decisions about the end of a run, and about a stop that a person has to look at. Pure."""

from greenroom.messages.events import events as ev
from greenroom.messages.frames.replay_differences import Difference
from greenroom.workflows.decisions import cancellation
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.program import children
from greenroom.workflows.decisions.steps import approvals, attempts


def end(out: Decision, event: ev.RunCompleted | ev.RunFailed | ev.RunCancelled) -> None:
    """End the run and everything that still goes on for it."""
    state = out.state
    for step in state.steps.values():
        if step.open and not out.is_new(step.key):
            attempts.cancel_step(out, step)
    for key in [key for key, question in state.questions.items() if question.step is None and not out.is_new(key)]:
        approvals.approval_withdrawn(out, key)
    at_once = cleanup_is_over(state.cancel_due, out.at)
    for key, child in state.children.items():
        if child.open and not out.is_new(key):
            children.abandon_child(out, key, at_once=at_once)
    out.record(event)
    out.now.append(do.EndProgram())
    out.then.append(do.Announce())


def cleanup_is_over(due: float | None, now: float) -> bool:
    """Return whether the time is over that a cancelled program has to clean up. With None it has no limit."""
    return due is not None and now >= due


def park(out: Decision, reason: str, difference: Difference | None = None, pool: str = "") -> None:
    """Stop the run until a person looks at it, unless it is parked already.

    Args:
        out: The decision.
        reason: Why, as a sentence.
        difference: How a replay differed from the journal, if that is why.
        pool: The pool that has given up, if that is why. The run is resumed once that one takes work again.
    """
    if out.state.halted != "parked":
        reason = cancellation.why_parked(out.state, reason)
        out.record(ev.RunParked(at=out.at, reason=reason, difference=difference, pool=pool))
        out.now.append(do.EndProgram())
        out.then.append(do.Announce())
