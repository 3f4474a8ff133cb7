"""Steps that emit while they run, and a chat whose turns can be watched and cancelled."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, MockModel, NotSerializable, Retry, Score, current, emit, evaluator, session, tool, workflow
from tests.acceptance.apps.effects import append
from tests.acceptance.apps.steering.running import note

SOURCE = "Summarize this.\n\n" + " ".join(
    f"Otter number {n} swims in the long cold river of the north." for n in range(9)
)

writer = LLM("writer", model=MockModel(latency=1.5), stream="text")
hasty = LLM("hasty", model=MockModel(latency=0.2, malformed=0.5, seed=4), stream="text", retry=Retry(initial=0.01))


@tool(retry=Retry(attempts=3, initial=0.01))
def telling(folder: str, count: int) -> int:
    """Emit, and stand before a gate of each attempt."""
    attempt = current().attempt
    for n in range(count):
        current().emit([attempt, n])
    append(Path(folder, f"{attempt}.reached"), str(attempt))
    while not Path(folder, str(attempt)).exists():
        time.sleep(0.005)
    return count


@workflow
async def gated_telling(folder: str, count: int) -> int:
    return await telling(folder, count)


@evaluator
def thinking(result: str) -> Score:
    current().emit(f"judging {len(result)} characters", "thoughts")
    return Score(value=1.0)


judged = LLM("judged", model=MockModel(latency=0.05), accept=[thinking])


@workflow
async def writing(folder: str) -> str:
    text = await writer(SOURCE)
    await note(str(Path(folder, "log")), "written")
    return text


@workflow
async def hurrying(count: int) -> list[str]:
    return list(await asyncio.gather(*(hasty.options(key=str(n))(f"{SOURCE} {n}") for n in range(count))))


@workflow
async def judging() -> str:
    return await judged(SOURCE)


@tool
def flooding(count: int, size: int) -> int:
    for n in range(count):
        current().emit("x" * size if size else n)
    return count


@workflow
async def flooded(count: int, size: int) -> int:
    return await flooding(count, size)


@tool
def unfit() -> list[str]:
    said: list[str] = []
    for value, channel in [(object(), "default"), ("x" * 9_000_000, "default"), (1, ""), (1, 7)]:
        try:
            current().emit(value, channel)  # type: ignore[arg-type]
        except (NotSerializable, ValueError, TypeError) as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


@tool
def scattering(count: int) -> str:
    for n in range(count):
        try:
            current().emit(n, f"channel {n}")
        except ValueError as error:
            return f"{n}: {error}"
    return "all"


@workflow
async def scattered(count: int) -> str:
    return await scattering(count)


@workflow
async def misfits() -> list[str]:
    return await unfit()


class Memory(BaseModel):
    said: list[str] = []


class Say(BaseModel):
    text: str
    folder: str


@tool
def brood(folder: str) -> None:
    """Never come back."""
    append(Path(folder, "brood.reached"), str(os.getpid()))
    while True:
        time.sleep(60)


@session(state=Memory, on_failure="stop")
async def chat(state: Memory, message: Say) -> str:
    """Answer word by word; ``brood`` over some messages, and note every cleanup."""
    state.said.append(message.text)
    await emit(f"thinking about {message.text}", "news", now=True)
    await emit(f"answered {message.text}", "news")
    try:
        if message.text == "brood":
            await brood(message.folder)
        return await writer(SOURCE)
    except asyncio.CancelledError:
        if message.text == "swallow":
            return "as if nothing had happened"
        raise
    finally:
        await note(str(Path(message.folder, "cleanup")), f"cleaned up {message.text}")


@tool
def stand(folder: str) -> None:
    append(Path(folder, "stand.reached"), str(os.getpid()))
    while not Path(folder, "stand").exists():
        time.sleep(0.005)


@session(state=Memory)
async def slow_to_leave(state: Memory, message: Say) -> str:
    """Clean up with a step that takes until somebody lets it end."""
    state.said.append(message.text)
    if message.text != "brood":
        return f"said {len(state.said)}"
    try:
        await brood(message.folder)
    finally:
        await stand(message.folder)
    return "never"
