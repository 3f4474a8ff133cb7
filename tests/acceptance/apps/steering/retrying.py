"""Runs that fail until a file says otherwise."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import Retry, StepFailed, current, receive, run, sleep, tool, uuid4, workflow
from tests.acceptance.apps.effects import append

TWICE = Retry(attempts=2, initial=0.01)


class Told(BaseModel):
    """Shared state."""

    steps: list[str] = []


@tool
def effect(folder: str, name: str) -> str:
    """Have an effect, under the key that a service would be given."""
    append(Path(folder, "log"), f"{name} {current().idempotency_key}")
    return name


@tool(retry=TWICE)
def shaky(folder: str, name: str) -> str:
    """Fail until a file of this name is there."""
    append(Path(folder, "log"), f"{name} {current().attempt}")
    if not Path(folder, name).exists():
        message = f"{name} is not there"
        raise ValueError(message)
    return name


@tool(crash_attempts=1)
def deadly(folder: str, name: str) -> str:
    """Take the process down until a file of this name is there."""
    if not Path(folder, name).exists():
        os.kill(os.getpid(), 9)
    return name


@workflow
async def poisoned(folder: str) -> str:
    return await deadly(folder, "antidote")


@tool(once=True)
def only_once(folder: str, name: str) -> str:
    append(Path(folder, "log"), name)
    if not Path(folder, name).exists():
        os.kill(os.getpid(), 9)
    return name


@workflow
async def order(state: Told, folder: str) -> str:
    """Pay, then ship; where that fails, give the money back."""
    paid = await effect(folder, "pay")
    state.steps.append("paid")
    try:
        shipped = await shaky(folder, "ship")
    except StepFailed:
        state.steps.append("refunded")
        await effect(folder, "refund")
        raise
    state.steps.append("shipped")
    return f"{paid}, {shipped}"


@workflow
async def family(folder: str) -> str:
    first = await effect(folder, "first")
    return f"{first}, {await order(folder)}"


@tool
def until(folder: str, name: str) -> None:
    """Wait for a file of this name."""
    append(Path(folder, "log"), f"until {name}")
    while not Path(folder, name).exists():
        time.sleep(0.01)


@workflow
async def careful(folder: str) -> str:
    """Await a message; clean up for as long as it is told."""
    try:
        told = await receive(Told)
    except asyncio.CancelledError:
        await until(folder, "cleaned")
        raise
    return " ".join(told.steps)


@workflow
async def couple(folder: str) -> str:
    return ", ".join(await asyncio.gather(shaky(folder, "ship"), run(careful, folder)))


@workflow
async def hasty(folder: str) -> str:
    """Ask for a run, and fail before it has been started."""
    child = asyncio.create_task(order(folder))
    await asyncio.sleep(0)
    if not Path(folder, "mended").exists():  # noqa: ASYNC240  see below
        raise ValueError(child.get_name())
    return await child


@workflow
async def own_fault(folder: str) -> str:
    done = await effect(folder, "done")
    if not Path(folder, "mended").exists():  # noqa: ASYNC240  what a workflow must not do, as a bug would
        message = "a bug of its own"
        raise KeyError(message)
    return done


@workflow
async def risky(folder: str) -> str:
    await effect(folder, "before")
    return await only_once(folder, "launch")


@workflow
async def long_wait(folder: str) -> str:
    await effect(folder, "before")
    await sleep(3600 if not Path(folder, "now").exists() else 0.01)  # noqa: ASYNC240  see above
    return "slept"


@tool
def look_up(topic: str, limit: int = 3) -> list[str]:
    return [f"{topic} {number}" for number in range(limit)]


@tool
def shorten(text: str) -> str:
    return text.upper()


@workflow
async def survey(folder: str, topic: str) -> list[str]:
    """Have an effect, look something up, and draw an identity for it before and after."""
    before = str(uuid4())
    await effect(folder, before)
    found = await look_up(topic)
    await effect(folder, str(uuid4()))
    return [before, *[await shorten(item) for item in found]]
