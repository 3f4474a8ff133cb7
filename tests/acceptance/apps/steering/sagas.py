"""A saga: what was booked is cancelled again, in reverse, once something cannot be booked."""

import os
import time
from pathlib import Path

from greenroom import Fatal, StepFailed, tool, workflow
from tests.acceptance.apps.effects import append


@tool(timeout=60)
def act(folder: str, name: str) -> str:
    """Wait before a gate of this name; then do it, which is a line in the log."""
    append(Path(folder, f"{name}.reached"), str(os.getpid()))
    while not Path(folder, name).exists():
        time.sleep(0.005)
    append(Path(folder, "log"), name)
    if name == "book-car":
        message = "no cars left"
        raise Fatal(message)
    return name


@workflow
async def trip(folder: str, parts: list[str]) -> str:
    booked: list[str] = []
    try:
        for part in parts:
            await act(folder, f"book-{part}")
            booked.append(part)
    except StepFailed as error:
        for part in reversed(booked):
            await act(folder, f"cancel-{part}")
        return f"stayed at home: {error.outcome}"
    return "gone"
