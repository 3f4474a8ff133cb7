"""Steps that are under way when their orchestrator is closed."""

import asyncio
import time
from pathlib import Path

from greenroom import current, tool, workflow
from tests.acceptance.apps.effects import append


@tool
def effect(folder: str, seconds: float) -> str:
    """Have an effect, then go on for a while."""
    append(Path(folder, "log"), f"begin {current().step}")
    time.sleep(seconds)
    append(Path(folder, "log"), f"end {current().step}")
    return "done"


@tool
async def patient(folder: str, seconds: float) -> str:
    """Wait, and clean up where the wait is cut short."""
    append(Path(folder, "log"), "begin")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        append(Path(folder, "log"), "cancelled")
        await asyncio.sleep(0.05)
        append(Path(folder, "log"), "cleaned up")
        raise
    return "slept"


@workflow
async def effects(folder: str, seconds: float) -> list[str]:
    """Have two effects, one after the other."""
    return [await effect(folder, seconds), await effect(folder, seconds)]


@workflow
async def waiting(folder: str, seconds: float) -> str:
    """Wait in a tool."""
    return await patient(folder, seconds)
