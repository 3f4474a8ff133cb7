"""Tools that say what they may use, and use it."""

import resource
import threading
from pathlib import Path

from greenroom import Retry, tool, workflow

ONCE = Retry(attempts=1)


@tool(retry=ONCE)
def allowed() -> dict[str, object]:
    """Say what this process may use."""
    return {
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
        "folder": str(Path.cwd()),
    }


@tool(retry=ONCE)
def idle_threads(threads: int, megabytes: int) -> int:
    """Have threads that do nothing beside a large value."""
    stop = threading.Event()
    waiting = [threading.Thread(target=stop.wait) for _ in range(threads)]
    for thread in waiting:
        thread.start()
    try:
        return len(bytearray(megabytes << 20))
    finally:
        stop.set()
        for thread in waiting:
            thread.join()


@tool(retry=ONCE, memory_mb=3)
def tiny() -> None:
    """Have less memory than its process needs."""


@workflow
async def asking() -> dict[str, object]:
    """Ask what a tool may use."""
    return await allowed()


@workflow
async def threading_beside(threads: int, megabytes: int) -> int:
    """Use threads and memory."""
    return await idle_threads(threads, megabytes)


@workflow
async def too_small() -> None:
    """Use a tool that cannot be started."""
    await tiny()
