"""Workflows of several steps, each of which leaves one line on the disk."""

import asyncio
import time

from greenroom import LLM, MockModel, OutcomeUnknown, Retry, sleep, tool, workflow
from greenroom.actors.models import ModelReply, ModelRequest
from tests.acceptance.apps.effects import effect

PATIENT = Retry(attempts=50, initial=0.05, max_delay=0.2, jitter=0.0)


@tool(retry=PATIENT, crash_attempts=50)
def append(log: str, value: int) -> int:
    """Leave a line and give the value's double."""
    effect(log, "append", value=value)
    time.sleep(0.005)
    return value * 2


@workflow
async def several(log: str, number: int) -> int:
    """Six steps: one, three at once, a moment of rest, two one after the other."""
    first = await append(log, number)
    branches = await asyncio.gather(*(append(log, first + item) for item in range(3)))
    await sleep(0.05)
    total = sum(branches)
    for _ in range(2):
        total = await append(log, total)
    return total


def expected(number: int) -> int:
    """Say what ``several`` gives."""
    return 4 * sum(2 * (2 * number + item) for item in range(3))


STEPS = 6


@tool(once=True)
def pay(log: str, value: int) -> int:
    """Have an effect that must not be had twice."""
    effect(log, "paid", value=value)
    time.sleep(0.005)
    return 1


class Meter(MockModel):
    """A model whose calls cost something, and leave a line."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        effect(request.prompt, "asked")
        return await super().complete(request)


ask = LLM("ask", retry=PATIENT, model=Meter(latency=0.005, replies=["1"]), output=int)


@workflow
async def paying(log: str, number: int) -> int:
    """Six payments and six questions; a payment of which nobody knows whether it was made counts nothing."""
    made = 0
    for item in range(6):
        try:
            made += await pay(log, number + item)
        except OutcomeUnknown:
            continue
        made += await ask(log) - 1
    return made


@tool(timeout=2.0, retry=Retry(attempts=1))
def nap(log: str, value: int) -> int:
    """Take a while, but far less than the deadline."""
    effect(log, "nap", value=value)
    time.sleep(0.3)
    return value + 1


@workflow
async def napping(log: str, number: int) -> int:
    """Four naps, one after the other."""
    for _ in range(4):
        number = await nap(log, number)
    return number


def rested(number: int) -> int:
    """Say what ``napping`` gives."""
    return number + 4
