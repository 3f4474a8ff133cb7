"""What the tests of HTTP serve."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import Retry, approve, current, receive, session, sleep, tool, workflow

ONCE = Retry(attempts=1)


class Word(BaseModel):
    text: str


class Tally(BaseModel):
    words: list[str] = []


@tool(retry=ONCE)
def add(a: int, b: int) -> int:
    return a + b


@tool(retry=ONCE)
def explode(why: str) -> None:
    current().heartbeat({"lit": why})
    raise ValueError(why)


@tool(timeout=60, retry=ONCE)
def stand(path: str) -> int:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)
    return 0


@workflow
async def total(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return await add(a, b)


@workflow
async def sums(numbers: int) -> int:
    """Add a number of times."""
    return sum([await add(number, 0) for number in range(numbers)])


@workflow
async def words(state: Tally, count: int = 1) -> list[str]:
    for _ in range(count):
        state.words.append((await receive(Word)).text)
    return state.words


@workflow
async def broken(why: str = "no luck") -> None:
    await explode(why)


@workflow
async def standing(path: str) -> int:
    return await stand(path)


@workflow
async def stuck() -> None:
    """Wait for what never comes."""
    await asyncio.Future[None]()


@workflow
async def release(version: str) -> str:
    approval = await approve("release", [version])
    return f"{approval.decision} {approval.args} by {approval.by}"


class Shipment(BaseModel):
    to: str
    parcels: int = 1
    note: str | None = None


@workflow
async def ship(to: str) -> str:
    """Ask about a value of a model."""
    approval = await approve("ship", Shipment(to=to))
    return Shipment.model_validate(approval.args).model_dump_json()


@workflow
async def pay(usd: float) -> str:
    """Ask about plain values."""
    approval = await approve("pay", {"usd": usd, "to": "ada"})
    return f"{approval.args['usd']} to {approval.args['to']}"


@tool
def spell(text: str) -> str:
    """Emit a text letter by letter."""
    for letter in text:
        current().emit(letter, "letters")
    return text


@session(state=Tally)
async def chat(state: Tally, message: Word) -> list[str]:
    """Remember every word but one."""
    if message.text == "bad":
        msg = "no such word"
        raise ValueError(msg)
    if message.text in {"endless", "spell"}:
        await spell(message.text)
    if message.text == "endless":
        await sleep(600)
    state.words.append(message.text)
    return state.words
