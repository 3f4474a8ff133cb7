"""Events about questions to people, applied to a run's state."""

from typing import Final

from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Resolution
from greenroom.messages.records.approvals import Approval
from greenroom.workflows.state.handlers import handler
from greenroom.workflows.state.run_state import Answer, Question, RunState
from greenroom.workflows.state.transcripts import result_given


def _asked(state: RunState, event: ev.ApprovalAsked) -> None:
    outcomes = len(state.resolutions) if event.step is None else 0
    state.questions[event.key] = Question(event.action, event.args, state.seq + 1, event.step, outcomes)
    state.mark_changes.append(("approval", event.key, state.seq + 1))
    if event.step is None:
        state.asked[event.key] = state.seq + 1  # otherwise the program has not asked
    else:
        state.steps[event.step].status = "escalated"
        state.escalated += 1


def _decided(state: RunState, event: ev.ApprovalDecided) -> None:
    approval = Approval(decision=event.decision, args=plain(event.args), comment=event.comment, by=event.by)
    question = _close(state, event.key, approval)
    if question.step is None:
        value = JsonText.of_members({**approval.model_dump(exclude={"args"}), "args": event.args})
        state.resolutions.append(Resolution(key=event.key, at=event.at, kind="result", value=value))
        return
    step = state.steps[question.step]
    if event.decision == "reject":
        step.attempts[-1].outcome = "rejected"
        step.result = None
    elif event.decision == "edit":
        step.result = result_given(step, event.args)


def _withdrawn(state: RunState, event: ev.ApprovalWithdrawn) -> None:
    _close(state, event.key, None)


def _close(state: RunState, key: str, approval: Approval | None) -> Question:
    question = state.questions.pop(key)
    state.answers[key] = Answer(approval, question)
    state.escalated -= question.step is not None
    state.mark_changes.append(("approval", key, None))
    return question


HANDLERS: Final = (
    handler(ev.ApprovalAsked, _asked),
    handler(ev.ApprovalDecided, _decided),
    handler(ev.ApprovalWithdrawn, _withdrawn),
)
