"""Tools that take more memory than there is, and one that only takes its time."""

import os
import time
from pathlib import Path

from greenroom import Retry, tool, workflow
from tests.acceptance.apps.kills.hostile import first_time

QUICK = Retry(attempts=2, initial=0.02, jitter=0.0)


@tool(retry=QUICK)
def devour(folder: str, megabytes: int) -> int:
    """Use far too much memory the first time."""
    if not first_time(folder, "devoured"):
        return 0
    return len(b"x" * (megabytes << 20))  # written to, as what is only reserved is not counted


@tool(retry=QUICK)
def linger(folder: str) -> str:
    """Wait to be killed the first time."""
    if not first_time(folder, "lingered"):
        return "recovered"
    Path(folder, "lingers").write_text(str(os.getpid()))
    while True:
        time.sleep(1.0)


@workflow
async def devouring(folder: str, megabytes: int) -> int:
    return await devour(folder, megabytes)


@workflow
async def lingering(folder: str) -> str:
    return await linger(folder)
