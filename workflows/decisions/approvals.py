"""What a supervisor does about questions to people: the part of ``decide`` that knows approvals.

Pure like the rest of it. A question comes from the workflow's code, which hears the decision as an outcome, or from a
step whose result the evaluators rejected, which it completes or fails.
"""

from greenroom.messages.approvals import approval_id
from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import ApprovalClosed, ApprovalNotFound
from greenroom.messages.core.failures import Failure
from greenroom.messages.evaluation import Evaluation
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker
from greenroom.workflows.decisions import inputs as do
from greenroom.workflows.decisions.decision import Decision, Moment
from greenroom.workflows.state.run_state import RunState, Step


def approval_asked(state: RunState, command: worker.ScheduleApproval, moment: Moment, out: Decision) -> None:
    """The program asks a person."""
    if command.key in state.questions or command.key in state.answers:
        return
    out.events.append(
        ev.ApprovalAsked(at=moment.now, key=command.key, action=command.action, args=command.args, form=command.form)
    )


def escalate(step: Step, attempt: int, evaluations: tuple[Evaluation, ...], moment: Moment, out: Decision) -> None:
    """Have a person decide about a result that evaluators rejected."""
    low = [item for item in evaluations if not item.passed and item.score is not None]
    out.events.append(
        ev.ApprovalAsked(
            at=moment.now,
            key=f"{step.key}@{attempt}",
            action=f"use the result of {step.name}",
            args=step.result,
            step=step.key,
            ref=step.ref,
            reason="; ".join(
                f"{item.name} gave {item.score:.2f} where {item.threshold:.2f} is needed: {item.reason}".rstrip(": ")
                for item in low
            ),
        )
    )


def approval_decided(state: RunState, happened: do.Decide, moment: Moment, out: Decision) -> None:
    """A person has decided: tell the program, or end the step. Deciding the same once more changes nothing."""
    question = state.questions.get(happened.key)
    if question is None:
        out.refused = _too_late(state, happened)
        return
    args = happened.args if happened.decision == "edit" else question.args
    out.events.append(
        ev.ApprovalDecided(
            at=moment.now,
            key=happened.key,
            decision=happened.decision,
            args=args,
            comment=happened.comment,
            by=happened.by,
        )
    )
    if question.step is not None:
        _end_step(state.steps[question.step], happened, moment, out)
    out.then.append(do.ReleaseSteps())


def decided_too_late(state: RunState, happened: do.Decide, out: Decision) -> None:
    """Refuse a decision about what a run that has ended once asked, unless it came before."""
    out.refused = _too_late(state, happened)


def approval_withdrawn(state: RunState, key: str, moment: Moment, out: Decision) -> None:
    """Nobody waits for the decision any more."""
    if key in state.questions:
        out.events.append(ev.ApprovalWithdrawn(at=moment.now, key=key))


def step_withdrawn(state: RunState, step: Step, moment: Moment, out: Decision) -> None:
    """Take back what is asked about a step that nobody awaits any more."""
    for key, question in state.questions.items():
        if question.step == step.key:
            approval_withdrawn(state, key, moment, out)


def _end_step(step: Step, happened: do.Decide, moment: Moment, out: Decision) -> None:
    attempt = len(step.attempts)
    if happened.decision != "reject":
        out.events.append(ev.StepCompleted(at=moment.now, key=step.key, attempt=attempt))
        return
    who = f" by {happened.by}" if happened.by else ""
    why = f": {happened.comment}" if happened.comment else ""
    failure = Failure(outcome="rejected", message=f"rejected{who}{why}", fatal=True)
    out.events.append(ev.StepFailed(at=moment.now, key=step.key, reason="rejected", failure=failure))


def _too_late(state: RunState, happened: do.Decide) -> ApprovalNotFound | ApprovalClosed | None:
    """Say why a decision comes too late; None where it is the one that was made."""
    name = approval_id(state.run_id, happened.key)
    if happened.key not in state.answers:
        return ApprovalNotFound(f"there is no approval {name!r}: run {state.run_id} has not asked for it")
    answer = state.answers[happened.key].approval
    if answer is None:
        return ApprovalClosed(f"approval {name} is not open any more: the run has ended or no longer waits for it")
    edited_alike = happened.decision != "edit" or same(happened.args, answer.args)
    if happened.decision == answer.decision and edited_alike:
        return None
    who = f" by {answer.by}" if answer.by else ""
    how = {"approve": "approved", "reject": "rejected", "edit": "edited"}[answer.decision]
    return ApprovalClosed(f"approval {name} has been decided already: it was {how}{who}")
