"""A process that hosts a hundred runs, to be killed. Started by ``figures.restart_s``, not by hand.

``host.py JOURNAL start`` starts the runs and says ``ready`` with the moment at which the last of them came to wait for
its model. ``host.py JOURNAL recover`` takes them up again, and says the same of its own life.
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
    """Give the moment at which the last run's model was asked in this life of the journal; None while some was not."""
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
            time.sleep(0.2)  # rarely, so that looking does not slow down what is looked at
        print(f"ready {moment}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
