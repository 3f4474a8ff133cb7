"""Approvals: workflow code asks a person for a decision."""

import asyncio

from greenroom.actors.context import program
from greenroom.actors.definitions.approval_edits import APPROVAL_ARGUMENTS, model_reference
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.times import Seconds, limit
from greenroom.messages.records.approvals import Approval


async def approve(action: str, args: object = None, timeout: Seconds | None = None) -> Approval:  # noqa: ASYNC109  the contract's name
    """Ask a person for a decision and wait for it.

    ``greenroom approvals list`` and ``Orchestrator.approvals`` show the question until it is answered. The question
    survives every process, and the waiting run occupies no worker. Cancelling the wait withdraws the question.

    Args:
        action: The action to approve, described for a person.
        args: Arguments of the action: any value that pydantic can write as JSON. The person may replace them by others
            of the same shape: another value of the same pydantic model, or the same names with values of the same
            kinds. None may be replaced by any value. ``Approval.args`` is always JSON.
        timeout: Longest wait in seconds; None or ``math.inf`` for no limit. The limit survives every process.

    Raises:
        TimeoutError: No decision was made in time.
        NotSerializable: ``args`` cannot be written as JSON.
        TypeError: ``action`` is not a string.
        ValueError: ``action`` is empty.
        RuntimeError: The caller does not run in a workflow.
    """
    port = program.get()
    if port is None:
        msg = "approve() is for workflow code: a step, and code that no run awaits, has nobody to ask"
        raise RuntimeError(msg)
    _check(action)
    asked = APPROVAL_ARGUMENTS.dump(args)
    async with asyncio.timeout(limit(timeout, "the timeout of approve()")):
        return Approval.model_validate(plain(await port.approve(action, asked, model_reference(args))))


def _check(action: object) -> None:
    """Check the action's type at run time, because callers need not be typed."""
    if not isinstance(action, str):
        msg = f"approve() takes what is to be done in words, not {action!r:.100}"
        raise TypeError(msg)
    if not action.strip():
        msg = "approve() takes what is to be done in words, and there are none"
        raise ValueError(msg)
