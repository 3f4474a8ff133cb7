"""An orchestrator of its own process that makes a schedule at each start, as scripts do. Killed by the test.

Usage: python -m tests.acceptance.apps.steering.clockwork FOLDER
"""

import sys
from pathlib import Path

from greenroom import Orchestrator
from tests.acceptance.apps.effects import append
from tests.acceptance.apps.steering import scheduled
from tests.acceptance.harness import pools


def main(folder: Path) -> None:
    """Have the schedule, say so, and go on until standard input ends."""
    with Orchestrator(folder / "runs.db", home=folder / "home", pools=pools()) as orchestrator:
        path = str(folder / "effects.log")
        orchestrator.schedule("tick", scheduled.noted, path, every=1, overlap="allow", catch_up=300.0)
        append(folder / "client.log", "scheduled")
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
