"""A nemesis kills whatever it likes while branchy workflows run: every result is right and the journal is whole."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from greenroom import Orchestrator, Run, WorkerNotFound
from tests.acceptance import harness
from tests.acceptance.apps.effects import effects
from tests.acceptance.apps.kills import branchy

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ACCEPTANCE_SEED", "2026"))
DURATION = float(os.environ.get("ACCEPTANCE_SECONDS", "12"))
"""Seconds of faults. For a longer hunt set both variables."""
AT_ONCE = 16
"""Runs that go on at the same time."""
SIGNALS = [signal.SIGKILL] * 6 + [signal.SIGSEGV] * 3 + [signal.SIGSTOP]


class Nemesis(threading.Thread):
    """Kills workers by a seeded choice. Tools die by signals of which nobody is told, the others by the public door.

    A death that nobody has announced is charged to the run that was at work, and a program or a model call may only be
    charged with few of them.
    """

    def __init__(self, orchestrator: Orchestrator, seed: int) -> None:
        super().__init__(name="nemesis")
        self.orchestrator = orchestrator
        self.chance = random.Random(seed)
        self.over = threading.Event()
        self.faults: Counter[str] = Counter()

    def run(self) -> None:
        while not self.over.wait(self.chance.uniform(0.02, 0.12)):
            if self.chance.random() < 0.01:
                self._strike_backend()
            else:
                self._strike_worker()

    def _strike_worker(self) -> None:
        workers = [worker for worker in self.orchestrator.workers() if worker.pid]
        busy = [worker for worker in workers if worker.status == "busy"] or workers
        if not busy:
            return
        worker = self.chance.choice(busy)
        number = self.chance.choice(SIGNALS)
        self.faults[f"{worker.kind} {number.name}"] += 1
        try:
            if worker.kind == "tool" and self.chance.random() < 0.7:
                os.kill(worker.pid, number)
            else:
                self.orchestrator.kill(worker.id, number)
        except (ProcessLookupError, WorkerNotFound):
            pass

    def _strike_backend(self) -> None:
        """Kill the process that forks the workers, or its keeper: all workers go with it."""
        workers = {worker.pid for worker in self.orchestrator.workers()}
        others = [process for process in psutil.Process().children(recursive=True) if process.pid not in workers]
        backends = [process for process in others if _name(process).startswith("greenroom-")]
        if backends:
            victim = self.chance.choice(backends)
            self.faults[f"{_name(victim)} SIGKILL"] += 1
            victim.kill()


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


@pytest.mark.timeout(150 + 2 * int(DURATION))
def test_random_kills_of_workers_change_no_result(tmp_path: Path, home: Path, mark: str, figure: Callable[..., None]):
    log = str(tmp_path / "effects.log")
    runs: dict[int, Run[tuple[int, str]]] = {}
    durable = {"max_restarts": 1_000_000}
    with Orchestrator(
        tmp_path / "runs.db",
        pools=harness.pools(tool={**durable, "size": 4}, program=durable, llm=durable, evaluator=durable),
    ) as orchestrator:
        nemesis = Nemesis(orchestrator, SEED)
        nemesis.start()
        try:
            end = time.monotonic() + DURATION
            while time.monotonic() < end:
                runs[len(runs)] = orchestrator.start(branchy.tangle, log, len(runs))
                if len(runs) > AT_ONCE:
                    runs[len(runs) - AT_ONCE].result(60)
        finally:
            nemesis.over.set()
            nemesis.join()
        quiet = time.monotonic()
        results = {number: run.result(60) for number, run in runs.items()}
        figure("seconds to the end of all runs after the last fault", time.monotonic() - quiet)
        assert results == {number: branchy.expected(number) for number in runs}
        assert {run.state.parts[0] for run in runs.values()} == {sum((n + i) ** 2 for i in range(3)) for n in runs}
        outcomes = Counter(
            attempt.exit.kind if attempt.exit else attempt.outcome
            for run in orchestrator.runs(limit=100_000)
            for step in orchestrator.get(run.id).steps()
            for attempt in step.attempts
        )
        deaths = sum(count for name, count in nemesis.faults.items())
        figure("faults", deaths, dict(nemesis.faults))
        figure("runs under faults", len(runs), f"{len(runs) / DURATION:.1f} per second; attempts: {dict(outcomes)}")
        assert deaths > 50
        assert len(runs) > AT_ONCE
    logs = harness.read_journal(tmp_path / "runs.db")
    assert {log.row["status"] for log in logs.values()} == {"completed"}
    assert harness.broken_invariants(logs, effects(log)) == []
    _assert_results_are_functions_of_inputs(logs)


def _assert_results_are_functions_of_inputs(logs: dict[str, harness.RunLog]) -> None:
    """Compute the result of every tool step anew from its recorded arguments."""
    for run_log in logs.values():
        scheduled = {event["key"]: event for event in run_log.of("step.scheduled")}
        completed = run_log.completed()
        for event in run_log.of("attempt.ended"):
            asked = scheduled[event["key"]]
            if event["outcome"] == "ok" and event["key"] in completed and asked["kind"] == "tool":
                number = asked["arguments"]["args"][1]
                assert event["result"] == number * number, (run_log.row["id"], event)
