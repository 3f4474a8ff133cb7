"""The smallest app: one tool and one workflow. Run as a script, it prints its first result and the time of that."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from greenroom import Orchestrator, tool, workflow


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@workflow
async def flow(a: int, b: int) -> int:
    """Add two numbers by a tool."""
    return await add(a, b)


if __name__ == "__main__":
    with Orchestrator(sys.argv[1]) as orchestrator:
        print(orchestrator.start(flow, 1, 2).result(60), time.time())
