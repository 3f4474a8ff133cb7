"""Parameters that are called like ours, models that come later, and steps that yield."""

# ruff: noqa: A002, ASYNC109, PLR0913, PLR0917  the names are what is tested, and there are many

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic import BaseModel

from greenroom import Retry, run, session, tool, workflow

ONCE = Retry(attempts=1)


@tool
def echo(
    workflow: str,
    self: str,
    args: str,
    kwargs: str,
    message: str,
    key: str,
    timeout: str,
    name: str,
    fn: str,
    arguments: str,
    options: str,
) -> dict[str, str]:
    return dict(locals())


@workflow
async def named(
    workflow: str,
    self: str,
    args: str,
    kwargs: str,
    message: str,
    key: str,
    timeout: str,
    name: str,
    fn: str,
    arguments: str,
    options: str,
) -> dict[str, str]:
    return await echo(**locals())


@workflow
async def with_id(id: int) -> int:
    return id


@workflow
async def with_timezone(timezone: str) -> str:
    return timezone


@workflow
async def parent_of_named(given: dict[str, str]) -> list[Any]:
    return [await named(**given), await with_id(id=7), await run(with_id, id=8)]


@session
async def talk(state: Talk, message: Word) -> Talk:
    state.heard.append(message.text)
    return state


class Word(BaseModel):
    text: str


class Talk(BaseModel):
    heard: list[str] = []


@tool
async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


@tool
async def count_soon(to: int):
    for number in range(to):
        yield number


@tool
def count_plainly(to: int) -> Iterator[int]:
    yield from range(to)


@tool
def count_bare(to: int):
    yield from range(to)


@tool(retry=ONCE)
async def count_badly() -> AsyncIterator[int]:
    yield 1
    raise ValueError("no more than 1")


@workflow
async def counting() -> list[list[int]]:
    return [await step(3) for step in (count, count_soon, count_plainly, count_bare)]


@workflow
async def counting_badly() -> list[int]:
    return await count_badly()
