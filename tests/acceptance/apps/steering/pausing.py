"""Runs with two gates, alone and as a child."""

from pathlib import Path

from greenroom import workflow
from tests.acceptance.apps.steering.running import gate, note


@workflow
async def gates(folder: str) -> str:
    first = await gate(folder, "first")
    await note(str(Path(folder, "log")), "between")
    return f"{first}, {await gate(folder, 'second')}"


@workflow
async def family(folder: str) -> str:
    return await gates(folder)
