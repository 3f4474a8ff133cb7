"""Parents that wait for their children."""

import asyncio

from pydantic import BaseModel

from greenroom import sleep, tool, workflow


@tool
def add(a: int, b: int) -> int:
    return a + b


@workflow
async def child(n: int) -> int:
    await sleep(0.01)
    return await add(n, 1)


@workflow
async def parent(n: int) -> int:
    return await child(n) + await child(n + 1)


@workflow
async def crowd(width: int) -> list[int]:
    return list(await asyncio.gather(*(parent(n) for n in range(width))))


@workflow
async def nap(seconds: float) -> str:
    await sleep(seconds)
    return "awake"


class Card(BaseModel):
    title: str


@workflow
async def card(title: str) -> Card:
    return Card(title=title)
