"""Workflows that mostly wait, for the tests of virtual time."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import Retry, now, receive, run, session, sleep, tool, workflow

DAY = 86_400.0


class Word(BaseModel):
    text: str


@workflow
async def sleeps(seconds: float) -> float:
    before = now()
    await sleep(seconds)
    return (now() - before).total_seconds()


@workflow
async def naps(count: int, seconds: float) -> float:
    before = now()
    for _ in range(count):
        await sleep(seconds)
    return (now() - before).total_seconds()


@tool(retry=Retry(attempts=4, initial=3600.0, factor=2.0, max_delay=DAY, jitter=0.0))
def flaky(log: str) -> int:
    with Path(log).open("a") as file:
        file.write("x")
    tries = len(Path(log).read_text())
    if tries < 4:
        msg = "not yet"
        raise ValueError(msg)
    return tries


@workflow
async def retries(log: str) -> int:
    return await flaky(log)


@workflow
async def waits_for_word(seconds: float) -> str:
    try:
        return (await receive(Word, timeout=seconds)).text
    except TimeoutError:
        return "nobody spoke"


@workflow
async def gives_up(seconds: float) -> float:
    before = now()
    try:
        async with asyncio.timeout(seconds):
            await receive(Word)
    except TimeoutError:
        return (now() - before).total_seconds()
    return -1.0


@workflow
async def clings() -> str:
    """Heed no cancellation."""
    while True:
        try:
            await receive(Word)
        except asyncio.CancelledError:
            continue


@workflow
async def parent(count: int, seconds: float) -> list[float]:
    return list(await asyncio.gather(*(run(sleeps, seconds * (n + 1)) for n in range(count))))


@tool(timeout=60)
def hold(gate: str) -> int:
    """Say that it runs, and wait for somebody to open the gate."""
    with Path(gate).open() as file:
        file.read()
    return os.getpid()


@workflow
async def held(gate: str) -> int:
    return await hold(gate)


class Held(BaseModel):
    pids: list[int] = []


@session(state=Held)
async def holds(state: Held, message: Word) -> int:
    state.pids.append(await hold(message.text))
    return len(state.pids)


@workflow
async def held_with_timeout(gate: str, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await hold(gate)
    except TimeoutError:
        return "gave up"
    return "went through"


@tool
def works(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@workflow
async def beside(work: float, wait: float) -> list[str]:
    """Work in reality and wait in virtual time, side by side: what ends first?"""
    ended: list[str] = []

    async def working() -> None:
        await works(work)
        ended.append("worked")

    async def waiting() -> None:
        await sleep(wait)
        ended.append("waited")

    await asyncio.gather(working(), waiting())
    return ended


@workflow
async def waits_for_words(count: int) -> list[str]:
    return [(await receive(Word)).text for _ in range(count)]


@workflow
async def held_after(gate: str, seconds: float) -> int:
    await sleep(seconds)
    return await hold(gate)
