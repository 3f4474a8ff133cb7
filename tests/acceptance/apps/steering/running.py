"""Workflows that wait at gates, so that a test can look at them while they run."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel, Field

from greenroom import Retry, sleep, tool, workflow
from tests.acceptance.apps.effects import append


class Progress(BaseModel):
    """Shared state: what a run says of itself."""

    done: int = 0
    notes: list[str] = Field(default_factory=list)


@tool(timeout=60)
def gate(folder: str, name: str) -> str:
    """Say that the gate is reached, and wait until it is opened."""
    append(Path(folder, f"{name}.reached"), str(os.getpid()))
    while not Path(folder, name).exists():
        time.sleep(0.005)
    return name


@tool
def note(log: str, text: str) -> None:
    append(log, text)


@tool(retry=Retry(attempts=2, initial=0.01))
def half(number: int) -> float:
    if number % 2:
        message = f"{number} is odd"
        raise ValueError(message)
    return number / 2


@workflow
async def lost(state: Progress, thing: str) -> None:
    """Put into the shared state what does not belong there, and give up control."""
    state.done = object() if thing == "object" else thing  # type: ignore[assignment]
    await sleep(0)


@workflow
async def tracked(state: Progress, folder: str) -> int:
    state.done = 1
    state.notes.append("begun")
    await gate(folder, "first")
    state.done = 2
    await gate(folder, "second")
    state.done = 3
    return state.done


@workflow
async def gated(folder: str) -> str:
    return await gate(folder, "gate")


@workflow
async def cleaned_up(folder: str) -> str:
    try:
        return await gate(folder, "gate")
    finally:
        await note(str(Path(folder, "log")), "cleaned up")


@workflow
async def stubborn(folder: str) -> str:
    """Answer a cancellation with more work."""
    try:
        await gate(folder, "gate")
    except BaseException:  # noqa: BLE001  the worst case
        await sleep(600)
    return "never"


@workflow
async def halving(number: int) -> float:
    return await half(number)


@tool(retry=Retry(attempts=1000, initial=0.01, max_delay=0.05))
def work(log: str, number: int) -> int:
    append(log, str(number))
    time.sleep(0.01)
    if number % 3 == 0:
        message = "again"
        raise ValueError(message)
    return number


@workflow
async def busy(log: str, number: int) -> None:
    """Never end: some steps run, some wait for a worker, some for another attempt."""
    while True:
        await asyncio.gather(*(work(log, 100 * number + item) for item in range(10)), return_exceptions=True)


@workflow
async def asleep(seconds: float) -> str:
    await sleep(seconds)
    return "awake"


@workflow
async def fickle(folder: str) -> str:
    """Not deterministic: it asks a file which step to take."""
    if Path(folder, "other-way").exists():  # noqa: ASYNC240  just what a workflow must not do
        await note(str(Path(folder, "log")), "other way")
    await gate(folder, "first")
    return await gate(folder, "gate")


@tool
def odd_value() -> object:
    return object()


@tool
def wrong_type() -> int:
    return "not a number"  # type: ignore[return-value]


@workflow
async def gives_no_json() -> None:
    await odd_value()


@workflow
async def gives_wrong_type() -> None:
    await wrong_type()


@workflow
async def returns_no_json() -> object:
    return object()


@workflow
async def two_fields(number: int, word: str, flag: bool = False) -> str:
    return f"{number} {word} {flag}"


@workflow
async def calls_wrongly() -> str:
    try:
        await half("many", 3)  # type: ignore[call-arg, arg-type]
    except TypeError as error:
        return str(error)
    return "it took them"


@tool(retry=Retry(attempts=1))
def big(kilobytes: int) -> str:
    return "x" * (kilobytes * 1024)


@workflow
async def bulky(kilobytes: int, times: int) -> int:
    total = 0
    for _ in range(times):
        total += len(await big(kilobytes))
    return total
