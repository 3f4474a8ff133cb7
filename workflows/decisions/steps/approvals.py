"""Decisions about questions to people. Pure.

The workflow's code may ask; it receives the answer as an outcome. A rejected result may be escalated; the answer
completes or fails the step.
"""

from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import ApprovalClosed, ApprovalNotFound
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames import worker as frames
from greenroom.messages.records.approvals import approval_id
from greenroom.messages.records.evaluation import Evaluation
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.steps.streams import add_final, discard
from greenroom.workflows.state.run_state import RunState, Step
from greenroom.workflows.state.steps import complaints
from greenroom.workflows.state.transcripts import judged_result


def approval_asked(out: Decision, command: frames.ScheduleApproval) -> None:
    """Record a question of the program, unless it was asked before."""
    key = command.key
    if key not in out.state.questions and key not in out.state.answers:
        out.record(ev.ApprovalAsked(at=out.at, key=key, action=command.action, args=command.args, form=command.form))


def escalate(out: Decision, step: Step, attempt: int, evaluations: tuple[Evaluation, ...]) -> None:
    """Ask a person about a result that evaluators rejected."""
    out.record(
        ev.ApprovalAsked(
            at=out.at,
            key=f"{step.key}@{attempt}",
            action=f"use the result of {step.name}",
            args=judged_result(step),
            step=step.key,
            ref=step.ref,
            reason="; ".join(complaints(evaluations)),
        )
    )


def approval_decided(out: Decision, happened: inputs.Decide) -> None:
    """Record a person's decision, and end the step that it is about. Repeating a decision changes nothing."""
    question = out.state.questions.get(happened.key)
    if question is None:
        decided_too_late(out, happened)
        return
    out.record(
        ev.ApprovalDecided(
            at=out.at,
            key=happened.key,
            decision=happened.decision,
            args=happened.args if happened.decision == "edit" else question.args,
            comment=happened.comment,
            by=happened.by,
        )
    )
    if question.step is not None:
        _end_step(out, out.state.steps[question.step], happened)
    out.then.append(do.ReleaseSteps())


def decided_too_late(out: Decision, happened: inputs.Decide) -> None:
    """Refuse a decision about a question that is not open, unless it repeats the decision that was made."""
    out.refused = _too_late(out.state, happened)


def approval_withdrawn(out: Decision, key: str) -> None:
    """Close a question whose answer is no longer awaited."""
    if key in out.state.questions:
        out.record(ev.ApprovalWithdrawn(at=out.at, key=key))


def step_withdrawn(out: Decision, step: Step) -> None:
    """Close the questions about the result of a step that is no longer awaited."""
    for key in [key for key, question in out.state.questions.items() if question.step == step.key]:
        approval_withdrawn(out, key)


def _end_step(out: Decision, step: Step, happened: inputs.Decide) -> None:
    if happened.decision != "reject":
        if step.options.stream is not None:
            add_final(out, step)
        out.record(ev.StepCompleted(at=out.at, key=step.key, attempt=len(step.attempts)))
        return
    discard(out, step)
    who = f" by {happened.by}" if happened.by else ""
    why = f": {happened.comment}" if happened.comment else ""
    failure = Failure(outcome="rejected", message=f"rejected{who}{why}", fatal=True)
    out.record(ev.StepFailed(at=out.at, key=step.key, reason="rejected", failure=failure))


def _too_late(state: RunState, happened: inputs.Decide) -> ApprovalNotFound | ApprovalClosed | None:
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
