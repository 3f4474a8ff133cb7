"""Tool calls that wait for a person, asked through ``approve``."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, cast

from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied

from greenroom.actors.api.approve import approve

Place: TypeAlias = Callable[[ToolCallPart], AbstractContextManager[None]]


async def ask_approvals(
    requests: DeferredToolRequests, *, place: Place = lambda _call: nullcontext()
) -> DeferredToolResults:
    """Ask a person about every tool call that needs an approval, all at once, and wait for the decisions.

    For agents with ``GreenroomDurability(ask=False)`` whose output may be ``DeferredToolRequests``: pass the result to
    the agent's next ``run`` as ``deferred_tool_results``. The questions survive every process, as those of
    ``greenroom.approve`` do. A person who edits the arguments approves the call with the new ones.

    Args:
        requests: What the agent's run returned.
        place: For the capability itself: where the keys of a call's steps stand.

    Raises:
        RuntimeError: The caller does not run in a workflow.
    """

    async def ask(call: ToolCallPart) -> bool | ToolApproved | ToolDenied:
        with place(call):
            answer = await approve(call.tool_name, _arguments(call))
        if answer.decision == "reject":
            return ToolDenied(answer.comment) if answer.comment else ToolDenied()
        return ToolApproved(override_args=cast("Any", answer.args) if answer.decision == "edit" else None)

    decided = await asyncio.gather(*(ask(call) for call in requests.approvals))
    found = {call.tool_call_id: decision for call, decision in zip(requests.approvals, decided, strict=True)}
    return DeferredToolResults(approvals={**found})


def _arguments(call: ToolCallPart) -> dict[str, Any]:
    """Return a call's arguments as an object, also if the model wrote them as text."""
    return json.loads(call.args) if isinstance(call.args, str) else dict(call.args or {})
