"""What a supervisor does about budgets: the part of ``decide`` that keeps attempts from beginning.

Pure like the rest of it. Whether a budget is used up is part of the moment (see ``overdraft``), since runs share them.
"""

from typing import Final

from greenroom.messages.events import events as ev
from greenroom.messages.policy import Budget
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.state.run_state import RunState

_HALTS: Final = (ev.RunCompleted, ev.RunFailed, ev.RunCancelled, ev.RunParked, ev.RunPaused)


def keep_within(state: RunState, happened: do.Input, moment: Moment, out: Decision) -> None:
    """Take back from a decision every attempt that would begin over a budget, and stop the run where there was one.

    A run that has used up its budget exactly, and needs nothing more, comes to its end.
    """
    over = moment.overdraft
    if over is None or any(isinstance(event, ev.RunResumed) and event.budget for event in out.events):
        return  # another budget is another account: attempts are held, so that each is looked at once more
    if over.run_id == state.run_id and any(isinstance(event, ev.CancelRequested) for event in out.events):
        return  # from here on it limits nothing: whoever has used up a budget may still clean up
    held_back = [effect for effect in out.now if isinstance(effect, do.Dispatch)]
    out.now = [effect for effect in out.now if not isinstance(effect, do.Dispatch)]
    begun = [event for event in out.events if isinstance(event, ev.AttemptStarted)]
    if begun:
        assert isinstance(happened, do.StepAssigned)
        out.events = [event for event in out.events if not isinstance(event, ev.AttemptStarted)]
        out.then = [effect for effect in out.then if not isinstance(effect, do.SendHeld)]
        out.now.append(do.WithdrawStep(happened.key))
    goes_on = state.halted is None or any(isinstance(event, ev.RunResumed) for event in out.events)
    ends = any(isinstance(event, _HALTS) for event in out.events)
    if (held_back or begun or over.late) and goes_on and not ends:
        if over.run_id == state.run_id:
            _park(state, over.reason, moment, out)
        else:
            out.events.append(ev.RunPaused(at=moment.now, reason=over.reason))
            out.then.append(do.TellOverdrawn(over.run_id, over.reason))
            _stop(state, out)


def overdrawn(state: RunState, happened: do.Overdrawn, moment: Moment, out: Decision) -> None:
    """A run below this one was stopped because of its budget, which may have been raised since."""
    if moment.overdraft is not None:
        _park(state, happened.reason, moment, out)
    elif state.halted is None:
        out.then.extend(do.ResumeChild(key) for key, child in state.children.items() if child.open)


def remind(state: RunState, moment: Moment, out: Decision) -> None:
    """A run that was stopped for a budget is read back: its owner may not have heard of it."""
    over = moment.overdraft
    if over is not None and state.halted == "paused" and (state.reason or "").startswith(over.subject):
        out.then.append(do.TellOverdrawn(over.run_id, over.reason))


def _park(state: RunState, reason: str, moment: Moment, out: Decision) -> None:
    """Stop the run whose budget is used up, and all below it, until somebody raises it."""
    resumed = any(isinstance(event, ev.RunResumed) for event in out.events)
    if (state.halted is None or resumed) and state.cancel_requested is None:
        out.events.append(ev.RunParked(at=moment.now, reason=reason))
        out.then.append(do.Announce())
        _stop(state, out)


def _stop(state: RunState, out: Decision) -> None:
    """Let what runs end, and nothing begin."""
    out.now.append(do.EndProgram())
    out.now.extend(do.WithdrawStep(step.key) for step in state.steps.values() if step.awaits_worker)
    out.then = [effect for effect in out.then if not isinstance(effect, do.StartProgram)]
    out.then.extend(do.PauseChild(key) for key, child in state.children.items() if child.open)


def raised_budget(state: RunState, happened: do.Resume) -> Budget | None:
    """Give the budget with which a run goes on, None where it stays as it is."""
    if happened.budget is None:
        return None
    return happened.budget if state.budget is None else state.budget.raised(happened.budget)
