"""Decisions about the judges of a result: when they are asked, what is reserved for that, and what they cost. Pure."""

from collections import Counter

from greenroom.messages.events import events as ev
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.evaluation.verdict import is_undecided
from greenroom.workflows.decisions.steps import quota
from greenroom.workflows.state.run_state import Step


def judges_due(out: Decision, key: str) -> None:
    """Let the judges of a result be asked, which costs money, unless a halt or a budget forbids it.

    The result is then evaluated from the start when the run goes on.
    """
    step = out.state.steps.get(key)
    if step is None or step.status != "evaluating":
        return
    if out.state.halted is None and out.judges_overdraft is None:
        out.now.append(do.AskJudges(key))
        return
    out.held_back = out.judges_overdraft is not None
    out.now.append(do.WithdrawStep(key))


def judge_called(
    out: Decision, happened: inputs.JudgeReserved | inputs.JudgeUnaffordable | inputs.JudgeAnswered
) -> None:
    """Record what is reserved for a call of a judge, and what it has used. Without a reservation the run stops."""
    step = out.state.steps.get(happened.key)
    if step is None:
        return
    match happened:
        case inputs.JudgeReserved():
            _reserved(out, step, happened)
        case inputs.JudgeUnaffordable() if step.status == "evaluating":
            _hold_back(out, step)
        case inputs.JudgeAnswered(token=token, usage=usage) if token in step.judging:
            _end_call(out, step, token, usage)
        case _:
            pass  # it was withdrawn meanwhile


def _reserved(out: Decision, step: Step, happened: inputs.JudgeReserved) -> None:
    if step.status != "evaluating" or len(step.attempts) != happened.attempt:
        return
    if out.state.halted is not None or out.judges_overdraft is not None:
        _hold_back(out, step)
        return
    out.record(
        ev.JudgeAsked(
            at=out.at,
            key=step.key,
            attempt=happened.attempt,
            token=happened.token,
            judge=happened.judge,
            reserved=happened.reserved,
        )
    )
    out.then.append(do.SendJudge(step.key, happened.token))


def _hold_back(out: Decision, step: Step) -> None:
    """Give the evaluation up until the run goes on. If a budget was raised meanwhile, begin it again."""
    out.now.append(do.WithdrawStep(step.key))
    out.held_back = out.judges_overdraft is not None
    if out.judges_overdraft is None and out.state.halted is None:
        out.now.append(do.Judge(step.key, len(step.attempts)))


def end_calls(out: Decision, step: Step) -> None:
    """End all calls of judges that have not ended. It is not known what they have used."""
    for token in sorted(step.judging):
        _end_call(out, step, token, {})


def _end_call(out: Decision, step: Step, token: str, usage: dict[str, float]) -> None:
    out.record(ev.JudgeAnswered(at=out.at, key=step.key, attempt=len(step.attempts), token=token, usage=usage))


def wait_for_quota(out: Decision, step: Step, happened: inputs.StepJudged) -> bool:
    """Stop the run, and return True, if a result could not be judged because a judge's model has no quota left.

    The result is evaluated again when the run goes on. If its author has said what to do with a result that could not
    be judged, and that it may be used, that is done instead.
    """
    state = out.state
    usable = step.options.on_evaluator_error in {"flag", "accept"}
    cleans_up = state.cancel_requested is not None or state.turn_cancelled
    if not happened.unpaid or usable or cleans_up or not is_undecided(happened.evaluations):
        return False
    left = Counter[str]()
    for evaluation in happened.evaluations:
        left.update(evaluation.usage)
    left.subtract(happened.settled)
    if any(amount > 0 for amount in left.values()):
        _end_call(out, step, "", {name: amount for name, amount in left.items() if amount > 0})
    quota.stop_for(out, f"the evaluation of step {step.key}", happened.unpaid)
    return True
