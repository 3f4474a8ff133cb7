"""What a supervisor does about the cancellation of its run: the part of ``decide`` that lets a program clean up.

Pure like the rest of it. A cancelled program sees ``CancelledError`` and has as long as it needs for what follows, or
as long as somebody gave it. Between the request and the program's answer no attempt is given to a worker, since nobody
knows yet which steps the program still awaits: what a pause has held back must not begin because its run is cancelled.
"""

from greenroom.messages.advice import end_now, resume
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState


def request(state: RunState, happened: do.Cancel, moment: Moment, out: Decision) -> None:
    """Record that the run is to end early, once, and by when, where that is sooner than was asked for before."""
    if state.cancel_requested is None:
        out.events.append(ev.CancelRequested(at=moment.now, reason=happened.reason))
        out.then.append(do.ReleaseSteps())
    if happened.within is not None:
        due = moment.now + happened.within
        if state.cancel_due is None or due < state.cancel_due:
            out.events.append(ev.CleanupLimited(at=moment.now, due=due))


def nothing_to_clean_up(state: RunState) -> bool:
    """Whether no program is there that could: the run was never begun, or is a session without a message."""
    return state.idle or not state.begun


def time_is_over(state: RunState, moment: Moment, out: Decision) -> bool:
    """Whether the run is to be ended without the rest of its cleanup."""
    dues = [event.due for event in out.events if isinstance(event, ev.CleanupLimited)]
    due = dues[0] if dues else state.cancel_due
    return due is not None and moment.now >= due


def hold_back(state: RunState, out: Decision) -> None:
    """Take back from a decision every attempt that would begin before the program has answered the cancellation."""
    if not state.cancel_heard and not any(isinstance(event, ev.CancelHeard) for event in out.events):
        out.now = [effect for effect in out.now if not isinstance(effect, do.Dispatch)]


def heard(state: RunState, turn: frames.Turn, moment: Moment, out: Decision) -> None:
    """The program has said what it awaits no longer: let begin what was held back and is still wanted."""
    if not state.holding or turn.cancels < sum(item.key == CANCEL_KEY for item in state.resolutions):
        return
    out.events.append(ev.CancelHeard(at=moment.now))
    gone = {event.key for event in out.events if isinstance(event, ev.StepFailed)}
    for step in state.steps.values():
        due = state.retries.get(step.key, moment.now)
        if step.open and step.awaits_worker and step.key not in gone and due <= moment.now:
            out.now.append(do.Dispatch(step.key, step.next_attempt))
    told = {effect.key for effect in out.then if isinstance(effect, do.CancelChild)}
    out.then.extend(do.ResumeChild(key) for key, child in state.children.items() if child.open and key not in told)


def why_parked(state: RunState, reason: str) -> str:
    """Say of a run that stops before it has cleaned up how it can still do so, or be ended without."""
    if state.cancel_requested is None:
        return reason
    return (
        f"{reason}; the run was cancelled and has not cleaned up: once that is mended, {resume(state.run_id)} lets it, "
        f"and {end_now(state.run_id)} ends it without"
    )
