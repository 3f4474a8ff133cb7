"""A workflow that hears of something and then goes no further until a file is there, within a time that is far away."""

import asyncio
import time
from pathlib import Path

from pydantic import BaseModel

from greenroom import approve, receive, run, tool, workflow


class Note(BaseModel):
    text: str


@tool
def look() -> int:
    return 1


@workflow
async def leaf() -> int:
    return 2


def hold(gate: Path) -> None:
    """Hold the program, which may take its time as well, or lose its process."""
    gate.with_suffix(".reached").touch()
    while not gate.exists():
        time.sleep(0.01)


@workflow
async def held(kind: str, gate: str) -> str:
    """Await one thing, say so by a file, and hold the program's process until ``gate`` exists."""
    async with asyncio.timeout(3600):
        match kind:
            case "timer":
                await asyncio.sleep(0.05)
            case "step":
                await look()
            case "child":
                await run(leaf)
            case "message":
                await receive(Note)
            case _:
                await approve("go on")
        hold(Path(gate))
        return f"{kind} and {await look()}"
