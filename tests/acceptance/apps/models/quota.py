"""Models of a provider whose account may be empty. The server and its key are in the environment."""

import asyncio
import sys
from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, Judge, Orchestrator, QuotaExceeded, Retry, session, tool, workflow
from tests.acceptance.apps.effects import append
from tests.acceptance.harness import pools
from tests.support import eventually

QUICK = Retry(attempts=2, initial=0.01, jitter=0.0)

poor = LLM("poor", model="openai-chat:paid", retry=QUICK)
unpaid = LLM("unpaid", model="openai-chat:unpaid", retry=QUICK)
claude = LLM("claude", model="anthropic:quota", retry=QUICK)
rich = LLM("rich", model="openai-chat:answers", retry=QUICK)
slow = LLM("slow", model="openai-chat:slow", retry=QUICK)
spared = LLM("spared", model="openai-chat:paid", fallback=["openai-chat:answers"], retry=QUICK)
both = LLM("both", model="openai-chat:unpaid", fallback=["openai-chat:broken", "openai-chat:paid"], retry=QUICK)
ASKED = {"openai": poor, "unpaid": unpaid, "claude": claude, "spared": spared, "both": both}


@workflow
async def asks(which: str) -> str:
    return await ASKED[which]("hi")


@workflow
async def asks_many(beside: int) -> list[str]:
    return await asyncio.gather(slow("a"), poor("b"), *(poor(f"{number}") for number in range(beside)))


@workflow
async def catches() -> str:
    """Try to go on without the answer, which is not up to the program."""
    try:
        return await poor("hi")
    except QuotaExceeded:
        return "went on"


steered = poor.options(retry=Retry(never=(QuotaExceeded,)))


@workflow
async def steers() -> str:
    try:
        return await steered("hi")
    except QuotaExceeded as error:
        return f"went on: {error}"


@workflow
async def below(which: str) -> str:
    return await asks(which) + "!"


@workflow
async def cleans_up(folder: str) -> str:
    try:
        await asyncio.sleep(3600)
    finally:
        try:
            await poor("what is left to do?")
        except QuotaExceeded:
            append(Path(folder, "log"), "cleaned up")
    return "slept"


@tool
def look(folder: str) -> str:
    append(Path(folder, "log"), "looked")
    return "an otter"


helper = LLM("helper", model="openai-chat:agent", tools=[look], retry=QUICK)


@workflow
async def helps(folder: str) -> str:
    return await helper(folder)


class Chat(BaseModel):
    said: int = 0


class Words(BaseModel):
    text: str


@session
async def talk(state: Chat, message: Words) -> str:
    state.said += 1
    return f"{state.said}: {await poor(message.text)}"


fair = Judge("fair", rubric="It is kind.", model="openai-chat:rater", retry=QUICK)
rated = LLM("rated", model="openai-chat:answers", accept=[fair], retry=QUICK)
must_be_rated = LLM("must", model="openai-chat:answers", accept=[fair], on_evaluator_error="reject", retry=QUICK)
may_be_rated = LLM("may", model="openai-chat:answers", accept=[fair], on_evaluator_error="accept", retry=QUICK)
RATED = {"rated": rated, "must": must_be_rated, "may": may_be_rated}


@workflow
async def rates(which: str) -> str:
    return await RATED[which]("hi")


@workflow
async def rates_itself() -> float:
    return (await fair("hi")).value


if __name__ == "__main__":  # an orchestrator of its own process, which is killed while the run is parked
    folder = Path(sys.argv[1])
    with Orchestrator(folder / "runs.db", home=folder / "home", pools=pools()) as orchestrator:
        run = orchestrator.start(below, "openai", id="poor")
        eventually(lambda: run.status == "parked", 60)
        (folder / "parked").touch()
        eventually(lambda: False, 600)
