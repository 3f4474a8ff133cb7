"""Workflows whose supervisor has something to tell other runs, or its own program, once a commit is done."""

import asyncio

from pydantic import BaseModel

from greenroom import approve, emit, receive, run, session, workflow

MANY = 1200
"""More values than a program may emit before it waits for their commit."""


class Note(BaseModel):
    text: str


class Memory(BaseModel):
    turns: int = 0


@workflow
async def leaf() -> str:
    return (await receive(Note)).text


@workflow
async def branch() -> str:
    return await run(leaf)


@workflow
async def tree() -> str:
    return await run(branch)


@workflow
async def leaver(fails: bool) -> str:
    """Start a run, await a message and leave the run behind."""
    task = asyncio.create_task(run(leaf))
    await receive(Note)
    if fails:
        raise ValueError(task.get_name())
    return "left"


@workflow
async def talker() -> str:
    async with asyncio.timeout(3600):
        for number in range(MANY):
            await emit(number)
    return "said"


@session(state=Memory)
async def asking(state: Memory, message: Note) -> str:
    """Have a person decide about each message."""
    state.turns += 1
    return (await approve(message.text)).decision
