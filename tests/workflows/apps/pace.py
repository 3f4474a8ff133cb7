"""A workflow that says what it does, in the order in which it does it."""

import os
from pathlib import Path

from greenroom import tool, workflow


def say(log: str, what: str) -> None:
    with Path(log).open("a") as file:
        file.write(what + "\n")


@tool
def first(log: str, gate: str) -> str:
    say(log, "first begins")
    descriptor = os.open(gate, os.O_RDONLY)  # a fifo: waits until somebody opens the other end
    os.close(descriptor)
    return "done"


@tool
def second(log: str) -> None:
    say(log, "second begins")


@workflow
async def pace(log: str, gate: str) -> None:
    answer = await first(log, gate)
    say(log, f"told that first is {answer}")
    await second(log)
