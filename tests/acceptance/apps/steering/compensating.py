"""Workflows that undo what they did when they are cancelled: in ``finally`` and ``except``, with everything allowed."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import Retry, StepFailed, approve, receive, run, session, sleep, tool, workflow
from tests.acceptance.apps.effects import append


class Go(BaseModel):
    word: str = ""


class Count(BaseModel):
    n: int = 0


@tool(timeout=60)
def book(folder: str, name: str) -> str:
    append(Path(folder, "log"), f"book {name}")
    return name


@tool(timeout=60)
def gate(folder: str, name: str) -> str:
    """Wait for a file of this name."""
    append(Path(folder, f"{name}.reached"), str(os.getpid()))
    while not Path(folder, name).exists():
        time.sleep(0.005)
    return name


@tool(timeout=60)
def undo(folder: str, name: str) -> str:
    append(Path(folder, "log"), f"undo {name}")
    return name


@tool(retry=Retry(attempts=3, initial=3600.0, jitter=0.0))
def shaky(folder: str) -> str:
    """Fail twice, an hour apart."""
    append(Path(folder, "tries"), "try")
    if len(Path(folder, "tries").read_text().splitlines()) < 3:
        raise ConnectionError("not yet")
    append(Path(folder, "log"), "undo shaky")
    return "done"


@workflow
async def trip(folder: str) -> str:
    """Book two things, wait before a gate, and undo them when that does not come to its end."""
    booked: list[str] = []
    try:
        for name in ("flight", "hotel"):
            await book(folder, name)
            booked.append(name)
        await gate(folder, "gate")
        await book(folder, "car")
    except (asyncio.CancelledError, StepFailed):
        await gate(folder, "cleanup")
        for name in reversed(booked):
            await undo(folder, name)
        raise
    return "gone"


@workflow
async def asleep(folder: str) -> None:
    """Sleep, and clean up by everything that workflow code may await."""
    await book(folder, "bed")
    try:
        await sleep(1e6)
    finally:
        await sleep(86_400.0)
        message = await receive(Go)
        decided = await approve("undo it?")
        await shaky(folder)
        await undo(folder, f"{message.word} {decided.decision}")


@workflow
async def asks() -> str:
    return (await approve("shall it be?")).decision


@workflow
async def listens() -> list[str]:
    return [(await receive(Go, timeout=1e6)).word for _ in range(3)]


@workflow
async def measures(text: str) -> int:
    return len(text)


@workflow
async def passes_on(length: int) -> int:
    return await run(measures, "x" * length)


@workflow
async def waits_for_ever(number: str, how: str) -> str:
    seconds = float(number)
    try:
        if how == "sleep":
            await sleep(seconds)
        elif how == "receive":
            await receive(Go, timeout=seconds)
        elif how == "approve":
            await approve("well?", timeout=seconds)
        elif how == "timeout":
            async with asyncio.timeout(seconds):
                await receive(Go)
        else:
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "over"
    return "done"


@workflow
async def parent(folder: str) -> None:
    try:
        await run(trip, folder)
    finally:
        await undo(folder, "parent")


@session(state=Count)
async def desk(state: Count, message: Go) -> int:
    """Count, and undo what a message began when its turn is cancelled."""
    state.n += 1
    try:
        await gate(message.word, "gate")
    finally:
        await undo(message.word, "turn")
    return state.n
