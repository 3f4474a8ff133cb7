"""A workflow that tells what of greenroom each kind of worker has imported since the app was."""

import asyncio
import sys

from greenroom import LLM, Retry, Score, StepFailed, evaluator, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest


def since() -> list[str]:
    """Give the modules of greenroom that were imported since this app was."""
    return sorted(name for name in set(sys.modules) - KNOWN if name.startswith("greenroom"))


@tool
def plain() -> list[str]:
    """Look, in a function."""
    return since()


@tool
async def asynchronous() -> list[str]:
    """Look, on an event loop."""
    await asyncio.sleep(0)
    return since()


@tool(retry=Retry(attempts=1))
def fails() -> None:
    """Fail, so that the failure is described."""
    msg = "as meant"
    raise ValueError(msg)


@evaluator
def judge(_result: int) -> Score:
    """Look, and say it as a reason."""
    return Score(1.0, reason=" ".join(since()))


class Looks:
    """A model that answers with what its worker has imported."""

    async def complete(self, _request: ModelRequest) -> ModelReply:
        """Look."""
        return ModelReply(" ".join(since()) or "-")


ask = LLM("ask", model=Looks())


@workflow
async def imported() -> dict[str, list[str]]:
    """Ask one worker of each kind."""
    found = {"tool": await plain(), "asynchronous tool": await asynchronous()}
    try:
        await fails()
    except StepFailed:
        found["after a failure"] = await plain()
    found["model"] = (await ask("What?")).strip("-").split()
    found["evaluator"] = (await judge(1)).reason.split()
    found["program"] = since()
    return found


KNOWN = set(sys.modules)
