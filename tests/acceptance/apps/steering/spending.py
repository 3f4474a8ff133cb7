"""Runs that use things up."""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, Budget, MockModel, Retry, current, evaluator, session, sleep, tool, workflow
from tests.acceptance.apps.effects import append

writer = LLM("writer", model=MockModel(replies=["one", "two", "three"]))


@tool
def effect(folder: str, name: str) -> str:
    append(Path(folder, "log"), name)
    return name


@workflow
async def spender(folder: str, count: int) -> int:
    return len([await effect(folder, str(number)) for number in range(count)])


@workflow
async def parent(folder: str, children: int, count: int) -> int:
    return sum(await asyncio.gather(*(spender(folder, count) for _ in range(children))))


@workflow(budget=Budget(tokens=1))
async def talker() -> list[str]:
    return [await writer("first"), await writer("second")]


@workflow
async def sleeper(seconds: float) -> str:
    await sleep(seconds)
    return "slept"


class Tally(BaseModel):
    done: int = 0


class Job(BaseModel):
    folder: str
    count: int = 1


@session(budget=Budget(attempts=3))
async def clerk(state: Tally, message: Job) -> int:
    for _ in range(message.count):
        await effect(message.folder, str(state.done))
        state.done += 1
    return state.done


@session(budget=Budget(attempts=2))
async def foreman(state: Tally, message: Job) -> int:
    state.done += await spender(message.folder, message.count)
    return state.done


@workflow
async def hires(folder: str) -> None:
    await clerk.tell("sent", Job(folder=folder, count=4))


@tool(retry=Retry(attempts=2, initial=0.05, jitter=0.0))
def climber(folder: str, steps: int) -> list[int]:
    """Report each step; die half-way, and go on from where the last attempt was."""
    start = (current().progress or {"at": 0})["at"]
    for step in range(start, steps):
        append(Path(folder, "log"), str(step))
        current().heartbeat({"at": step + 1, "of": steps})
        if step == 1 and current().attempt == 1:
            raise OSError("slipped")
    return [start, steps]


@workflow
async def climb(folder: str) -> list[int]:
    return await climber(folder, 4)


@tool(retry=Retry(attempts=1))
def waits(folder: str) -> str:
    """Say much about itself, and wait for a word."""
    for number in range(1000):
        current().heartbeat({"said": number})
    Path(folder, "gate.reached").write_text("1 1")
    while not Path(folder, "go").exists():
        pass
    return "gone on"


@workflow
async def waiting(folder: str) -> str:
    return await waits(folder)


@tool(retry=Retry(attempts=1))
def chatter(size: int) -> None:
    current().heartbeat("x" * size)


@workflow
async def too_much(size: int) -> None:
    await chatter(size)


@evaluator
def cannot_say(_value: str) -> float:
    raise ZeroDivisionError("the evaluator itself is broken")


@tool(accept=[cannot_say], on_reject="fail")
def closed() -> str:
    return "unseen"


@tool(accept=[cannot_say], on_reject="fail", on_evaluator_error="accept")
def opened() -> str:
    return "unseen"


@tool(accept=[cannot_say], on_reject="fail", on_evaluator_error="flag")
def flagged() -> str:
    return "unseen"


@tool(accept=[cannot_say])
def usual() -> str:
    return "unseen"


@workflow
async def judged(which: str) -> str:
    return await {"closed": closed, "opened": opened, "flagged": flagged, "usual": usual}[which]()


@workflow
async def planned(budget: int) -> int:
    return budget
