"""One tool dies of a segmentation fault beside healthy ones, and only its own attempt is lost.

Commands:

    python examples/crashing.py
    greenroom run examples/crashing.py:squares -i count=8
"""

import asyncio
import ctypes

from greenroom import Orchestrator, Retry, current, tool, workflow


@tool
def square(number: int) -> int:
    """Square a number."""
    return number * number


@tool(retry=Retry(initial=0.0))
def fragile_square(number: int) -> int:
    """Square a number the way a broken C library would: the first attempt reads address 0."""
    if current().attempt == 1:
        ctypes.string_at(0)
    return number * number


@workflow
async def squares(count: int = 8) -> list[int]:
    """Square the numbers below ``count`` at once, the one in the middle with the broken tool."""
    middle = count // 2
    return await asyncio.gather(*(fragile_square(n) if n == middle else square(n) for n in range(count)))


if __name__ == "__main__":
    with Orchestrator() as orchestrator:
        run = orchestrator.start(squares, 8)
        print(run.result(timeout=60))
        for step in run.steps():
            attempts = [f"pid {attempt.pid} {attempt.error or attempt.outcome}" for attempt in step.attempts]
            print(f"{step.key:20} {', then '.join(attempts)}")
