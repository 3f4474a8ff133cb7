"""Figures of loads: large values, many short runs, memory while they go on, and figures over many runs."""

import itertools
import statistics
import time
from pathlib import Path

import psutil
from rounds import Figure, orchestrator_in
from work import chain, echoes

from greenroom import Orchestrator
from greenroom.messages.events.events import StepScheduled

MEGABYTE = 1_000_000
LARGE_STEPS = 20
SHORT_RUNS = 1_000
LOAD_RUNS, LOAD_STEPS = 200, 10
COUNTED_RUNS = 3_000
READINGS = 5


def large_step_ms(directory: Path) -> float:
    """Return the median time in milliseconds of a step whose argument and result have 1 MB each."""
    with orchestrator_in(directory) as orchestrator:
        orchestrator.start(echoes, 2, 10).result(60)
        run = orchestrator.start(echoes, LARGE_STEPS, MEGABYTE)
        run.result(120)
        asked = [stored.at for stored in run.events() if isinstance(stored.event, StepScheduled)]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(asked)) * 1000


def short_runs_per_second(directory: Path) -> float:
    """Return the runs per second of 1,000 runs of one step, from the first start to the last result."""
    with orchestrator_in(directory) as orchestrator:
        orchestrator.start(chain, 5).result(60)
        started = time.perf_counter()
        run_all(orchestrator, SHORT_RUNS, 1)
        return SHORT_RUNS / (time.perf_counter() - started)


def load_mb(directory: Path) -> float:
    """Return the memory in MiB (PSS) of this process and all below it, after 200 runs of 10 steps."""
    with orchestrator_in(directory) as orchestrator:
        run_all(orchestrator, LOAD_RUNS, LOAD_STEPS)
        here = psutil.Process()
        processes = [here, *here.children(recursive=True)]
        return sum(float(each.memory_full_info().pss) for each in processes) / 2**20


def metrics_ms(directory: Path) -> float:
    """Return the median CPU time in milliseconds of figures over 3,000 runs."""
    with orchestrator_in(directory, durability="process") as orchestrator:
        run_all(orchestrator, COUNTED_RUNS, 1)
        spent: list[float] = []
        for _ in range(READINGS):
            before = time.thread_time()
            assert orchestrator.metrics().totals.runs == COUNTED_RUNS
            spent.append(time.thread_time() - before)
    return statistics.median(spent) * 1000


def run_all(orchestrator: Orchestrator, runs: int, steps: int) -> None:
    """Start runs in a plain loop, then wait for all results."""
    for run in [orchestrator.start(chain, steps, id=f"run-{number}") for number in range(runs)]:
        run.result(120)


FIGURES: dict[str, Figure] = {
    "large": Figure(
        "a step with 1 MB in and out, p50",
        "ms",
        lambda _: 15.0,
        "less",
        lambda floors: floors.commit_ms + 2 * floors.round_trip_ms,
        "1 commit + 2 round trips, both small",
        large_step_ms,
    ),
    "short": Figure(
        '1,000 runs of one tool step, "full", started in a plain loop',
        "runs/s",
        lambda _: 1200.0,
        "more",
        lambda floors: 1000 / (2 * floors.round_trip_ms),
        "2 round trips per run",
        short_runs_per_second,
    ),
    "load-memory": Figure(
        "memory of all processes after 200 runs of 10 steps (PSS)",
        "MiB",
        lambda _: 90.0,
        "less",
        lambda floors: floors.fork_uss_mb,
        "a bare fork of this script",
        load_mb,
    ),
    "metrics": Figure(
        "figures over 3,000 runs, CPU time",
        "ms",
        lambda _: 50.0,
        "less",
        lambda floors: floors.interpreter_ms,
        "start of an interpreter",
        metrics_ms,
    ),
}
