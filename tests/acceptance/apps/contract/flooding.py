"""A tool whose results are as large as a message may be, and values that take far more memory than their text."""

import asyncio

from pydantic import BaseModel

from greenroom import receive, tool, workflow


class Go(BaseModel):
    """Lets a run go on."""


@tool
def objects(count: int) -> list[dict[str, int]]:
    """Give a value of three bytes of text per item, each of which is a dict of Python's."""
    return [{} for _ in range(count)]


@tool
def text(length: int) -> str:
    return "x" * length


@workflow
async def swamped(count: int) -> int:
    return len(await objects(count))


@workflow
async def large(steps: int, length: int) -> int:
    for number in range(steps):
        await text(length + number)
    return steps


@workflow
async def gathered(count: int, length: int) -> int:
    texts = await asyncio.gather(*(text(length) for _ in range(count)))
    await receive(Go)
    return sum(len(each) for each in texts)
