"""A plain script: everything at the top level, an orchestrator at the end, and no guard around it."""

import os
import sys

from greenroom import Orchestrator, tool, workflow


@tool
def whoami() -> int:
    return os.getpid()


@tool
def shout(text: str) -> str:
    return text.upper() + "!"


@workflow
async def greet(name: str) -> tuple[str, int]:
    return await shout(f"hello {name}"), await whoami()


with Orchestrator("plain.db") as orchestrator:
    print("once", flush=True)
    text, pid = orchestrator.start(greet, sys.argv[1]).result(timeout=30)
    print(text, pid != os.getpid())
