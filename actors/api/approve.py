"""Questions to people, as workflow code asks them."""

import asyncio

from greenroom.actors.context import program
from greenroom.actors.definitions.approval_edits import WRITTEN, form_of
from greenroom.messages.approvals import Approval
from greenroom.messages.core.json_text import plain
from greenroom.messages.core.times import Seconds, limit


async def approve(action: str, args: object = None, timeout: Seconds | None = None) -> Approval:  # noqa: ASYNC109  the contract's name
    """Ask a person, and wait for what they decide.

    The question stands in ``greenroom approvals list`` and ``Orchestrator.approvals`` until it is answered. Nothing is
    held while the run waits, and the question outlives every process. A wait that is cancelled takes it back.

    Args:
        action: What is to be done, in words for a person.
        args: What it is to be done with: anything pydantic can write as JSON. A person may decide on other arguments
            of the same shape: another value of the same pydantic model, or else the same names with values of the same
            kinds. What was None may become anything. ``Approval.args`` is JSON in any case.
        timeout: Seconds to wait at most, None or ``math.inf`` without a limit. The limit outlives every process.

    Raises:
        TimeoutError: Nobody decided in time.
        NotSerializable: ``args`` cannot be written as JSON.
        TypeError: ``action`` is no text.
        ValueError: It is empty.
        RuntimeError: The code that asks runs in no workflow.
    """
    port = program.get()
    if port is None:
        msg = "approve() is for workflow code: a step, and code that no run awaits, has nobody to ask"
        raise RuntimeError(msg)
    _check(action)
    asked = WRITTEN.dump(args)
    async with asyncio.timeout(limit(timeout, "the timeout of approve()")):
        return Approval.model_validate(plain(await port.approve(action, asked, form_of(args))))


def _check(action: object) -> None:
    """Refuse what is no question: callers need not be typed."""
    if not isinstance(action, str):
        msg = f"approve() takes what is to be done in words, not {action!r:.100}"
        raise TypeError(msg)
    if not action.strip():
        msg = "approve() takes what is to be done in words, and there are none"
        raise ValueError(msg)
