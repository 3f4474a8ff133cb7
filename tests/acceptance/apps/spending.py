"""Runs that use things up."""

import asyncio
from pathlib import Path

from tests.acceptance.apps.effects import append
from understudy import LLM, Budget, MockModel, sleep, tool, workflow

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
