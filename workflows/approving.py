"""Decisions of people, on their way from a door to the run that waits for them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from understudy.messages.commands import DecideApproval, Refused, Reply
from understudy.messages.errors import ApprovalClosed, ApprovalNotFound, UnderstudyError
from understudy.messages.events import ApprovalAsked
from understudy.messages.failures import one_line
from understudy.messages.frames import CheckResult, ResultChecked
from understudy.workflows.handle import check
from understudy.workflows.inputs import Decide

if TYPE_CHECKING:
    from understudy.workflows.questions import Ask


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, found by its id."""

    run_id: str
    app: str
    key: str
    event: ApprovalAsked | None
    """None where it is not open."""


Find = Callable[[str], Asked]
"""Finds a question, or raises ``ApprovalNotFound``; called in a thread."""


async def prepare_decision(command: DecideApproval, find: Find, ask: "Ask") -> tuple[str, Decide] | Refused:
    """Give what to tell which run, or why not: an edit of a result is first shown to a worker that knows its type."""
    if (command.decision == "edit") != (command.args is not None):
        needs = (
            "an edit says what is to be used instead" if command.decision == "edit" else "only an edit has other args"
        )
        return Refused(code="invalid", message=f"approval {command.approval}: {needs}")
    try:
        asked = await asyncio.get_running_loop().run_in_executor(None, find, command.approval)
    except ApprovalNotFound as error:
        return Refused(code="not_found", message=str(error))
    args = command.args
    if command.decision == "edit" and asked.event is not None and (ref := asked.event.ref):
        checked = await ask(asked.app, lambda token: CheckResult(id=token, step=ref, value=args))
        if isinstance(checked, str):
            return Refused(code="invalid", message=checked)
        assert isinstance(checked, ResultChecked)
        if checked.faults:
            message = f"the edit cannot be the result of {asked.event.step}: {one_line(checked.faults)}"
            return Refused(code="invalid", message=message)
        args = checked.value
    return asked.run_id, Decide(asked.key, command.decision, args, command.comment, command.by)


def check_decision(reply: Reply) -> None:
    """Raise what a decision was refused with.

    Raises:
        ApprovalNotFound: There is no such approval.
        ApprovalClosed: It has been decided otherwise, or nobody waits for it any more.
        InvalidInput: The edit does not fit; every field at fault is named.
    """
    kinds: dict[str, type[UnderstudyError]] = {"not_found": ApprovalNotFound, "conflict": ApprovalClosed}
    if isinstance(reply, Refused) and reply.code in kinds:
        raise kinds[reply.code](reply.message)
    check(reply)
