"""How many calls one step costs the orchestrator: a number that does not depend on the machine's speed.

A change that makes it larger makes every step slower. Raise a bound only with a reason, and say in ``CHANGELOG.md`` what
the step gets for it.
"""

import statistics
import sys
import threading
from collections import Counter
from types import FrameType
from typing import Any

from greenroom import Orchestrator, tool, workflow
from greenroom.workflows.runs import registry

STEPS = (20, 120)
"""The difference of two runs leaves out what a run costs once."""
ROUNDS = 3
MOST_PYTHON_CALLS = 349
MOST_C_CALLS = 307
"""Ten calls of each count the step for the figures of all runs, so that these need not read all events."""


@tool
def number_of(number: int) -> int:
    """Return the argument."""
    return number


@workflow
async def chain(steps: int) -> int:
    """Await a number of steps, one after another."""
    return sum([await number_of(number) for number in range(steps)])


def test_a_step_costs_no_more_calls_than_it_did(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "LINGER", 60.0)  # on a busy machine events would go alone
    calls: Counter[str] = Counter()

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        calls[event] += 1

    found: dict[str, list[float]] = {"call": [], "c_call": []}
    threading.setprofile(count)  # for the threads that the orchestrator starts
    try:
        with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as orchestrator:
            orchestrator.start(chain, 10).result(60)  # everything has started and is warm
            for _ in range(ROUNDS):
                counted: list[Counter[str]] = []
                for steps in STEPS:
                    calls.clear()
                    orchestrator.start(chain, steps).result(60)
                    counted.append(calls.copy())
                for event, values in found.items():
                    values.append((counted[1][event] - counted[0][event]) / (STEPS[1] - STEPS[0]))
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
    assert sys.getprofile() is None
    assert statistics.median(found["call"]) <= MOST_PYTHON_CALLS, found
    assert statistics.median(found["c_call"]) <= MOST_C_CALLS, found
