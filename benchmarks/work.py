"""The measured workflows. They do no work, so that only the overhead is measured."""

import time

from pydantic import BaseModel

from greenroom import LLM, MockModel, Retry, session, tool, workflow

CALL = 0.05
"""Seconds that the model takes for an answer."""


@tool
def noop(number: int) -> int:
    """Return the argument."""
    return number


@workflow
async def chain(steps: int) -> int:
    """Await a number of tool steps, one after another."""
    done = 0
    for number in range(steps):
        done += await noop(number) == number
    return done


@tool(timeout=None)
def echo(text: str) -> str:
    """Return the argument."""
    return text


@workflow
async def echoes(steps: int, length: int) -> int:
    """Await a number of steps whose argument and result are texts of this length."""
    return sum([len(await echo(f"{number}".ljust(length, "x"))) for number in range(steps)])


def spoken(lines: int) -> float:
    """Print a number of lines, and return the CPU time in seconds that this took."""
    before = time.process_time()
    for number in range(lines):
        print(f"line {number} of a tool that says what it does")
    return time.process_time() - before


@tool(timeout=None)
def speak(lines: int) -> float:
    """See ``spoken``."""
    return spoken(lines)


@workflow
async def talkative(lines: int) -> float:
    """Run a tool that prints a number of lines."""
    return await speak(lines)


ask = LLM("ask", model=MockModel(latency=CALL, replies=["yes"]))


@workflow
async def conversation(calls: int) -> int:
    """Await a number of model calls, one after another."""
    return len([await ask("Yes or no?") for _ in range(calls)])


stall = LLM("stall", model=MockModel(latency=3600.0, replies=["at last"]), timeout=None, retry=Retry(attempts=10))


@workflow
async def endless(steps: int) -> str:
    """Complete some steps, then wait for a model that does not answer."""
    for number in range(steps):
        await noop(number)
    return await stall("Take your time.")


class Count(BaseModel):
    """The state of the measured sessions."""

    messages: int = 0


class Add(BaseModel):
    """The message of the measured sessions."""

    number: int


@session(state=Count)
async def counter(state: Count, message: Add) -> int:
    """Count a message, and reply with the count."""
    state.messages += message.number
    return state.messages
