"""A model whose provider wants a long pause and a tool that is down, in an orchestrator of their own process.

Usage: python -m tests.acceptance.apps.models.held FOLDER
"""

import asyncio
import sys
from pathlib import Path

from greenroom import LLM, Breaker, Orchestrator, Retry, RetryAfter, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest
from greenroom.workflows.home.held_calls import read_held_calls
from tests.acceptance.apps.effects import append
from tests.acceptance.harness import pools
from tests.support import eventually

PAUSE = 600.0
BREAKERS = {"tool:down": Breaker(failures=2, cooldown=600.0)}


class Limited:
    """Asks for a pause, and would answer the next request."""

    name = "limited"

    async def complete(self, request: ModelRequest) -> ModelReply:
        folder = Path(request.prompt)
        append(folder / "log", "model")
        if not (folder / "quiet").exists():
            raise RetryAfter(PAUSE, "429")
        return ModelReply("done")


limited = LLM("limited", model=Limited(), retry=Retry(attempts=1))


@tool(retry=Retry(attempts=2, initial=0.01))
def down(folder: str) -> str:
    append(Path(folder, "log"), "tool")
    raise ConnectionError("down")


@workflow
async def asks(folder: str) -> None:
    await asyncio.gather(limited(folder), down(folder), return_exceptions=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    options = {"home": folder / "home", "pools": pools(), "breakers": BREAKERS}
    with Orchestrator(folder / "runs.db", **options) as orchestrator:
        orchestrator.start(asks, str(folder), id="first").result(60)
        eventually(lambda: {gate.status for gate in orchestrator.metrics().gates} == {"held", "open"})
        eventually(lambda: len(read_held_calls(folder / "home")) == 2)
        (folder / "holding").touch()
        eventually(lambda: False, 600)
