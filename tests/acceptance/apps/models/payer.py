"""An orchestrator of its own process with a budget, whose runs call a model that costs something. Killed by the test.

Usage: python -m tests.acceptance.apps.models.payer FOLDER RUNS USD
"""

import sys
from pathlib import Path

from greenroom import Budget, Orchestrator
from tests.acceptance.apps.models import metered
from tests.acceptance.harness import pools
from tests.support import eventually


def main(folder: Path, count: int, usd: float) -> None:
    """Start every run, and see all of them to their end or to the end of the money; say when calls are under way."""
    with Orchestrator(folder / "runs.db", home=folder / "home", pools=pools(), budget=Budget(usd=usd)) as orchestrator:
        runs = [orchestrator.start(metered.pays, 3, id=f"run-{number}") for number in range(count)]

        def over() -> bool:
            return {run.status for run in runs} <= {"completed", "parked"}

        def calls() -> bool:
            attempts = [attempt for run in runs for step in run.steps() for attempt in step.attempts]
            return any(attempt.outcome is None for attempt in attempts)

        eventually(lambda: calls() or over(), 60)
        (folder / "calling").touch()
        eventually(over, 60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
