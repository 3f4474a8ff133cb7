"""How events about questions to people change a run's state."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from greenroom.messages.approvals import Approval
from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.events.events import ApprovalAsked, ApprovalDecided, ApprovalWithdrawn
from greenroom.messages.frames.worker import Resolution
from greenroom.workflows.state.run_state import Answer, Question, RunState


def _asked(state: RunState, event: ApprovalAsked) -> None:
    state.questions[event.key] = Question(event.action, event.args, state.seq + 1, event.step)
    state.mark_changes.append(("approval", event.key, state.seq + 1))
    if event.step is not None:
        state.steps[event.step].status = "escalated"
        state.escalated += 1


def _decided(state: RunState, event: ApprovalDecided) -> None:
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
    else:
        step.result = event.args


def _withdrawn(state: RunState, event: ApprovalWithdrawn) -> None:
    _close(state, event.key, None)


def _close(state: RunState, key: str, approval: Approval | None) -> Question:
    question = state.questions.pop(key)
    state.answers[key] = Answer(approval, question)
    state.escalated -= question.step is not None
    state.mark_changes.append(("approval", key, None))
    return question


FOLDS: Final[Mapping[type[Any], Callable[[RunState, Any], None]]] = {
    ApprovalAsked: _asked,
    ApprovalDecided: _decided,
    ApprovalWithdrawn: _withdrawn,
}
