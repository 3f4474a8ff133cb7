"""A workflow that calls steps with more at once than one frame holds."""

import asyncio
import os
from pathlib import Path

from pydantic import BaseModel

from greenroom import receive, tool, workflow


class Go(BaseModel):
    pass


class Told(BaseModel):
    text: str = ""


@tool
def length(document: str, folder: str) -> int:
    with Path(folder, "read").open("a") as log:
        log.write(f"{os.getpid()}\n")
    return len(document)


@workflow
async def chapter(document: str, folder: str) -> int:
    return await length(document, folder)


@workflow
async def book(state: Told, documents: int, size: int, folder: str) -> int:
    """Have documents read by steps and by children at once, wait for a word, and have them read again."""
    state.text = "z" * size
    work = [*(length("x" * size, folder) for _ in range(documents)), chapter("y" * size, folder)]
    total = sum(await asyncio.gather(*work))
    await receive(Go)
    return total + sum(await asyncio.gather(*(length("x" * size, folder) for _ in range(documents))))


@workflow
async def too_long(what: str, size: int) -> str:
    if what == "call":
        await length("x" * size, "")
    return "x" * size
