"""Decisions about budgets: no attempt begins once a budget is used up. Pure.

Runs share budgets, so whether one is used up is an argument of the decision (``Decision.overdraft``).
"""

from dataclasses import replace

from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import Budget
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budget_usage import SHARED_SUBJECTS, Overdraft, subject_of
from greenroom.workflows.decisions.budgets.halts import stop
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.run_state import RunState


def stop_over_budget(out: Decision, over: Overdraft) -> None:
    """Stop the run if an attempt was held back for a budget, or the budget's time is over.

    A run that has used up its budget exactly, and needs nothing more, completes.
    """
    if out.exceeds_budget and out.state.halted is None and out.state.ended is None:
        _stop_for(out, over)


def overdrawn(out: Decision, happened: inputs.Overdrawn) -> None:
    """Stop the run after a run below it was stopped for a budget; let that go on if the budget was raised since."""
    if out.state.halted is not None:
        return
    if out.overdraft is not None:
        _stop_for(out, replace(out.overdraft, reason=happened.reason))
    else:
        out.then.extend(do.ResumeChild(key) for key, child in out.state.children.items() if child.open)


def remind(out: Decision) -> None:
    """Tell the owner of the budget for which a run was stopped, which may not have been told before a crash."""
    state, reason = out.state, out.state.reason or ""
    if state.halted != "paused":
        return
    if (owner := _owner(state, reason)) is not None:
        out.then.append(do.TellOverdrawn(owner, reason))


def _owner(state: RunState, reason: str) -> str | None:
    """Return the run that is told that this one was paused for a budget, or None if no budget was the reason."""
    if reason.startswith(SHARED_SUBJECTS):
        return state.parent
    return next((each for each in state.accounts if each != state.run_id and reason.startswith(subject_of(each))), None)


def _stop_for(out: Decision, over: Overdraft) -> None:
    """Park the run if the budget is its own, or that of the orchestrator. Otherwise pause it, and tell the owner.

    A child that is stopped for the orchestrator's budget tells its parent, so that the run at the top is parked.
    """
    owner = over.run_id or out.state.parent
    if owner is None or owner == out.state.run_id:
        _park(out, over.reason)
    else:
        out.record(ev.RunPaused(at=out.at, reason=over.reason))
        out.then.append(do.TellOverdrawn(owner, over.reason))
        stop(out)


def _park(out: Decision, reason: str) -> None:
    """Stop the run whose budget is used up, and all runs below it, until the budget is raised."""
    if out.state.halted is None and out.state.cancel_requested is None:
        out.record(ev.RunParked(at=out.at, reason=reason))
        out.then.append(do.Announce())
        stop(out)


def raised_budget(state: RunState, happened: inputs.Resume) -> Budget | None:
    """Return the budget with which a run goes on, or None if it is not changed."""
    if happened.budget is None:
        return None
    return happened.budget if state.budget is None else state.budget.raised(happened.budget)
