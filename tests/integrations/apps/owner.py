"""An orchestrator of its own process that runs the clerk several times, and kills itself at an event of the newest run.

Usage: python -m tests.integrations.apps.owner FOLDER RUNS [EVENT]
"""

import json
import os
import signal
import sys
from pathlib import Path

from greenroom import Orchestrator, Pool, Run
from greenroom.messages.commands import StartRun

APP = Path(__file__).with_name("agents.py")


def start(orchestrator: Orchestrator, run_id: str) -> Run[str]:
    """Start a run by command, as the command line does: this process does not import the agents."""
    orchestrator.send(StartRun(run_id=run_id, app=str(APP), workflow="office", arguments={"question": "where?"}))
    return orchestrator.get(run_id)


def main(folder: Path, count: int, fatal: int | None = None) -> None:
    """Start every run or find it. Without a fatal event, print the results, with the number of the last event."""
    pools = {kind: Pool(size=size) for kind, size in {"program": 1, "tool": 2, "llm": 1}.items()}
    with Orchestrator(folder / "runs.db", home=folder / "home", pools=pools) as orchestrator:
        runs = [start(orchestrator, f"swept-{number}") for number in range(1, count + 1)]
        for event in runs[-1].events(follow=True):
            if event.seq == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        results = [run.result(timeout=60) for run in runs]
        print(json.dumps({"results": results, "last": max(event.seq for event in runs[-1].events())}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
