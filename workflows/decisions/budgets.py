"""Decisions about budgets: no attempt begins once a budget is used up. Pure.

Runs share budgets, so whether one is used up is an argument of the decision (``Decision.overdraft``).
"""

from greenroom.messages.events import events as ev
from greenroom.messages.policy import Budget
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.run_state import RunState


def stop_over_budget(out: Decision, over: Overdraft) -> None:
    """Stop the run if an attempt was held back for a budget, or the budget's time is over.

    A run that has used up its budget exactly, and needs nothing more, completes.
    """
    state = out.state
    if not out.exceeds_budget or state.halted is not None or state.ended is not None:
        return
    if over.run_id == state.run_id:
        _park(out, over.reason)
    else:
        out.record(ev.RunPaused(at=out.at, reason=over.reason))
        out.then.append(do.TellOverdrawn(over.run_id, over.reason))
        _stop(out)


def overdrawn(out: Decision, happened: inputs.Overdrawn) -> None:
    """Park the run after a run below it was stopped for its budget; let that go on if the budget was raised since."""
    if out.overdraft is not None:
        _park(out, happened.reason)
    elif out.state.halted is None:
        out.then.extend(do.ResumeChild(key) for key, child in out.state.children.items() if child.open)


def remind(out: Decision) -> None:
    """Tell the owner of the budget for which a run was stopped, which may not have been told before a crash."""
    over = out.overdraft
    if over is not None and out.state.halted == "paused" and (out.state.reason or "").startswith(over.subject):
        out.then.append(do.TellOverdrawn(over.run_id, over.reason))


def _park(out: Decision, reason: str) -> None:
    """Stop the run whose budget is used up, and all runs below it, until the budget is raised."""
    if out.state.halted is None and out.state.cancel_requested is None:
        out.record(ev.RunParked(at=out.at, reason=reason))
        out.then.append(do.Announce())
        _stop(out)


def _stop(out: Decision) -> None:
    """Let running attempts end, and begin nothing."""
    waiting = (step.key for step in out.state.steps.values() if step.awaits_worker)
    out.now.append(do.EndProgram())
    out.now.extend(do.WithdrawStep(key) for key in waiting if not out.is_new(key))
    out.then.extend(do.PauseChild(k) for k, child in out.state.children.items() if child.open and not out.is_new(k))


def raised_budget(state: RunState, happened: inputs.Resume) -> Budget | None:
    """Return the budget with which a run goes on, or None if it is not changed."""
    if happened.budget is None:
        return None
    return happened.budget if state.budget is None else state.budget.raised(happened.budget)
