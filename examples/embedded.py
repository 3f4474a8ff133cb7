"""An orchestrator inside a plain script: no server, no configuration, and no ``if __name__ == "__main__"``.

    python examples/embedded.py

Run it twice. The second time it finds the run it started before and prints the same answer with the same process ids,
because nothing is executed again: the answer comes from the journal, ``embedded.db``.
"""

import os

from greenroom import Orchestrator, tool, workflow


@tool
def greet(name: str) -> str:
    """Greet somebody, and say which process does it."""
    return f"Hello, {name}! This is process {os.getpid()}."


@workflow
async def welcome(names: list[str]) -> list[str]:
    """Greet one person after the other."""
    return [await greet(name) for name in names]


with Orchestrator("embedded.db") as orchestrator:
    run = orchestrator.start(welcome, ["Ada", "Grace"], id="first-day")
    for line in run.result(timeout=60):
        print(line)
    print(f"The script itself is process {os.getpid()}; run {run.id} has {len(run.steps())} steps.")
