"""An orchestrator of its own process: starts runs by id, waits for all of them, and says so. Killed by the test.

Usage: python -m tests.acceptance.apps.kills.owner FOLDER COUNT [APP]
"""

import sys
import time
from pathlib import Path

from greenroom import Orchestrator
from tests.acceptance.apps.effects import append
from tests.acceptance.apps.kills import branchy, durable
from tests.acceptance.harness import pools

APPS = {
    "durable": (durable.several, durable.expected),
    "branchy": (branchy.tangle, branchy.expected),
    "napping": (durable.napping, durable.rested),
    "paying": (durable.paying, None),
}


def main(folder: Path, count: int, app: str = "durable") -> None:
    """Start every run or find it, acknowledge each on the disk, and see all of them to the end."""
    workflow, expected = APPS[app]
    began = time.time()
    with Orchestrator(folder / "runs.db", home=folder / "home", pools=pools()) as orchestrator:
        append(folder / "client.log", f"opened {began} {time.time()}")
        runs = []
        for number in range(count):
            runs.append(orchestrator.start(workflow, str(folder / "effects.log"), number, id=f"run-{number}"))
            append(folder / "client.log", f"accepted run-{number}")
        results = [run.result() for run in runs]
        assert expected is None or results == [expected(number) for number in range(count)], results
    append(folder / "client.log", "finished")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
