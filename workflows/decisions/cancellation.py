"""Decisions about the cancellation of a run, which lets its program clean up. Pure.

A cancelled program sees ``CancelledError``. It has as long as it needs to clean up, unless the request sets a limit.
No attempt is given to a worker before the program has answered the request (see ``RunState.holding``): only then is it
known which steps it still awaits. So what a pause has held back does not begin because the run is cancelled.
"""

from greenroom.messages.advice import end_now, resume
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.steps.attempts import dispatch_if_due
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState


def request(out: Decision, reason: str | None, due: float | None) -> None:
    """Record the request to end early once, and the end of the time for cleanup if it is sooner than the known one."""
    state = out.state
    if state.cancel_requested is None:
        out.record(ev.CancelRequested(at=out.at, reason=reason))
        out.then.append(do.ReleaseSteps())
        _lift_own_budget(out)
    if due is not None and (state.cancel_due is None or due < state.cancel_due):
        out.record(ev.CleanupLimited(at=out.at, due=due))


def _lift_own_budget(out: Decision) -> None:
    """Let the cleanup of a cancelled run or turn exceed the run's own budget."""
    if out.overdraft is not None and out.overdraft.run_id == out.state.run_id:
        out.overdraft = None


def request_turn(out: Decision, reason: str | None) -> None:
    """Record the request to end a session's turn early once."""
    state = out.state
    if state.turn_cancelled or state.cancel_requested is not None or state.letter is None:
        return
    out.record(ev.TurnCancelRequested(at=out.at, number=state.letter[0], reason=reason))
    out.then.append(do.ReleaseSteps())
    _lift_own_budget(out)


def nothing_to_clean_up(state: RunState) -> bool:
    """Return whether no program needs to clean up: the run was never begun, or is a session without a message."""
    return state.idle or not state.begun


def heard(out: Decision, turn: frames.Turn) -> None:
    """Record that the program has answered the cancellation, and begin what was held back and is still awaited."""
    state = out.state
    if not state.holding or turn.cancels < sum(item.key == CANCEL_KEY for item in state.resolutions):
        return
    out.record(ev.CancelHeard(at=out.at))
    for step in state.steps.values():
        dispatch_if_due(out, step)
    withdrawn = {command.key for command in turn.commands if isinstance(command, frames.Withdraw)}
    out.then.extend(
        do.ResumeChild(key)
        for key, child in state.children.items()
        if child.open and key not in withdrawn and not out.is_new(key)
    )


def why_parked(state: RunState, reason: str) -> str:
    """Return the reason of a stop, with the ways to go on if the run was cancelled and has not cleaned up."""
    if state.cancel_requested is None:
        return reason
    return (
        f"{reason}; the run was cancelled and has not cleaned up: once that is mended, {resume(state.run_id)} lets it, "
        f"and {end_now(state.run_id)} ends it without"
    )
