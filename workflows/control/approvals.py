"""Prepare users' decisions for the runs that wait for approval."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from greenroom.messages.commands import DecideApproval, Refused
from greenroom.messages.core.errors import ApprovalNotFound
from greenroom.messages.core.failures import one_line
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import ApprovalAsked
from greenroom.messages.frames.worker import CheckEdit, CheckResult, FromWorker, ResultChecked
from greenroom.workflows.control.checks.json_shapes import misfits
from greenroom.workflows.decisions.inputs import Decide
from greenroom.workflows.queries.approvals import Asked

if TYPE_CHECKING:
    from greenroom.workflows.control.checks.app_queries import Ask


Find = Callable[[str], Asked]
"""Returns a question, or raises ``ApprovalNotFound``. Called in a thread."""


async def prepare_decision(command: DecideApproval, find: Find, ask: "Ask") -> tuple[str, Decide] | Refused:
    """Return the message for the run that asked, or a refusal. An edit is checked against the question's arguments."""
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
    if command.decision == "edit" and asked.event is not None:
        checked = await _check_edit(asked.app, asked.event, args, ask)
        if isinstance(checked, Refused):
            return checked
        args = checked.value
    return asked.run_id, Decide(asked.key, command.decision, args, command.comment, command.by)


async def _check_edit(app: str, event: ApprovalAsked, args: Json, ask: "Ask") -> ResultChecked | Refused:
    """Return an edit in its normal form, or a refusal. If there is a type for it, a worker of the app checks it."""
    checked: FromWorker | Refused = ResultChecked(id="", value=args, unknown_form=True)
    if event.ref:
        checked = await ask(app, lambda token: CheckResult(id=token, step=event.ref, value=args))
    elif event.form:
        checked = await ask(app, lambda token: CheckEdit(id=token, form=event.form, value=args))
    if isinstance(checked, Refused):
        return checked
    assert isinstance(checked, ResultChecked)
    faults = checked.faults
    if checked.unknown_form:  # values may be long, and must not block the loop
        loop = asyncio.get_running_loop()
        faults = await loop.run_in_executor(None, lambda: misfits(plain(event.args), plain(args)))
    if faults:
        what = "be the result of " + event.step if event.step else f"take the place of what {event.action!r} is about"
        return Refused(code="invalid", message=f"the edit cannot {what}: {one_line(faults)}", faults=faults)
    return checked
