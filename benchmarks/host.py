"""A process with a hundred runs, which is killed. Started by ``figures.restart_s``, not by hand.

``host.py JOURNAL start`` starts the runs. It prints ``ready`` with the time at which the last run began to wait for its
model. ``host.py JOURNAL recover`` continues the runs, and prints the same for its own process.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from work import endless

from greenroom import Orchestrator
from greenroom.messages.events.events import AttemptStarted

RUNS = 100
STEPS = 3


def waiting_since(orchestrator: Orchestrator, epoch: str) -> float | None:
    """Return when the last run called its model in this process; None if a run has not done so yet."""
    moments: list[float] = []
    for number in range(RUNS):
        started = [
            stored.event.at
            for stored in orchestrator.get(f"run-{number}").events()
            if isinstance(stored.event, AttemptStarted)
            and stored.event.key.startswith("stall")
            and stored.event.token.startswith(f"{epoch}:")
        ]
        if not started:
            return None
        moments.append(started[0])
    return max(moments)


def main() -> None:
    """Host the runs until killed."""
    journal, order = sys.argv[1:]
    with Orchestrator(journal, home=f"{journal}.home") as orchestrator:
        if order == "start":
            for number in range(RUNS):
                orchestrator.start(endless, STEPS, id=f"run-{number}")
        epoch = "1" if order == "start" else "2"
        while (moment := waiting_since(orchestrator, epoch)) is None:
            time.sleep(0.2)  # rarely, so that the queries do not slow down the runs
        print(f"ready {moment}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
