"""Workflows with many branches, whose results follow from their input whatever dies on the way."""

import asyncio
import time

from pydantic import BaseModel

from greenroom import LLM, MockModel, Retry, Score, evaluator, sleep, tool, workflow
from tests.acceptance.apps.effects import effect

TIRELESS = Retry(attempts=10_000, initial=0.01, max_delay=0.2)


class Tally(BaseModel):
    """How far a run is."""

    parts: list[int] = []


@tool(retry=TIRELESS, crash_attempts=10_000, timeout=20)
def square(log: str, number: int) -> int:
    """Work for a moment on both sides of the effect, so that a kill can come before, during and after it."""
    time.sleep(0.004)
    effect(log, "square", value=number)
    time.sleep(0.004)
    return number * number


@tool(retry=TIRELESS, crash_attempts=10_000, timeout=20)
async def slow_square(log: str, number: int) -> int:
    await asyncio.sleep(0.1)
    effect(log, "slow_square", value=number)
    return number * number


@evaluator
def is_forty(answer: str) -> Score:
    return Score(1.0 if answer == "forty" else 0.0, reason="the answer is forty")


guess = LLM(
    "guess", accept=[is_forty], retry=TIRELESS, timeout=20, model=MockModel(latency=0.02, replies=["four", "forty"])
)


@workflow
async def leaf(log: str, number: int) -> int:
    return await square(log, number) + await square(log, number + 1)


@workflow
async def tangle(state: Tally, log: str, number: int) -> tuple[int, str]:
    """Gather, a group of branches, a race against a timer, a child run, a model and a moment of rest."""
    squares = await asyncio.gather(*(square(log, number + item) for item in range(3)))
    state.parts.append(sum(squares))
    async with asyncio.TaskGroup() as group:
        branches = [group.create_task(two_in_a_row(log, number + item)) for item in range(2)]
    state.parts.append(sum(branch.result() for branch in branches))
    try:
        async with asyncio.timeout(0.1):
            raced = await slow_square(log, number)
    except TimeoutError:
        raced = await square(log, number)
    state.parts.append(raced)
    if number % 2:
        state.parts.append(await leaf(log, number))
    word, _ = await asyncio.gather(guess(f"What is {number} times ten?"), sleep(0.05))
    return sum(state.parts), word


async def two_in_a_row(log: str, number: int) -> int:
    """Square a number, and add one to what the second step gives."""
    first = await square(log, number)
    return first + await square(log, 1)


def expected(number: int) -> tuple[int, str]:
    """Say what ``tangle`` gives."""
    total = sum((number + item) ** 2 for item in range(3))
    total += sum((number + item) ** 2 + 1 for item in range(2))
    total += number**2
    if number % 2:
        total += number**2 + (number + 1) ** 2
    return total, "forty"
