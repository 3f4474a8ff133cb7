"""What schedules start: a note of each run, and a run that goes on until it is let through."""

from greenroom import tool, workflow
from tests.acceptance.apps.effects import effect
from tests.acceptance.apps.steering.running import gate


@tool
def take_note(path: str) -> None:
    effect(path, "note")


@workflow
async def noted(path: str) -> None:
    await take_note(path)


@workflow
async def guarded(folder: str) -> str:
    return await gate(folder, "gate")
