"""An orchestrator of its own process, whose run calls a tool that waits for a gate. Killed by the test.

Usage: python -m tests.acceptance.apps.mcp.served_owner FOLDER
"""

import sys
from pathlib import Path

from greenroom import Orchestrator
from tests.acceptance.apps.mcp import served
from tests.acceptance.harness import pools

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Orchestrator(folder / "runs.db", home=folder / "home", pools=pools()) as orchestrator:
        run = orchestrator.start(served.calls, "waits", {"gate": str(folder / "gate")}, id="waiting")
        sys.stdout.write(f"{run.result()}\n")
