"""A script that waits for a run for ever, until somebody interrupts it."""

import sys
import time
from pathlib import Path

from greenroom import Orchestrator, tool, workflow


@tool
def hang(folder: str) -> None:
    Path(folder, "hanging").touch()
    time.sleep(600)


@workflow
async def wait(folder: str) -> None:
    await hang(folder)


if __name__ == "__main__":
    with Orchestrator("runs.db") as orchestrator:
        orchestrator.start(wait, sys.argv[1], id="endless").result()
