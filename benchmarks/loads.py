"""Figures of loads: large values, many short runs, the memory and room that they take, and figures over many runs."""

import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

import psutil
from past import fill
from rounds import Figure, orchestrator_in
from work import chain, echoes

from greenroom import Orchestrator
from greenroom.messages.events.events import StepScheduled

MEGABYTE = 1_000_000
LARGE_STEPS = 20
SHORT_RUNS = 1_000
LOAD_RUNS, LOAD_STEPS = 200, 10
COUNTED_RUNS = 33_000
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
    """Return the memory in MiB (PSS) of a new process and all below it, after 200 runs of 10 steps."""
    done = subprocess.run([sys.executable, __file__, directory], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def load_mb_here(directory: Path) -> float:
    """Return the same for this process."""
    with orchestrator_in(directory) as orchestrator:
        run_all(orchestrator, LOAD_RUNS, LOAD_STEPS)
        here = psutil.Process()
        processes = [here, *here.children(recursive=True)]
        return sum(float(each.memory_full_info().pss) for each in processes) / 2**20


def journal_kb(directory: Path) -> float:
    """Return by how many kB a journal is larger for each further step of its runs, once it is closed."""
    sizes: list[int] = []
    for steps in (LOAD_STEPS, 3 * LOAD_STEPS):
        with orchestrator_in(directory / str(steps)) as orchestrator:
            run_all(orchestrator, LOAD_RUNS, steps)
        sizes.append((directory / str(steps) / "journal.db").stat().st_size)
    return (sizes[1] - sizes[0]) / (LOAD_RUNS * 2 * LOAD_STEPS) / 1000


def metrics_ms(directory: Path) -> float:
    """Return the median CPU time in milliseconds of figures over 33,000 runs."""
    fill(directory / "journal.db", 0, COUNTED_RUNS)
    with orchestrator_in(directory) as orchestrator:
        spent: list[float] = []
        for _ in range(READINGS):
            before = time.thread_time()
            assert orchestrator.metrics().totals.runs == COUNTED_RUNS
            spent.append(time.thread_time() - before)
    return statistics.median(spent) * 1000


def scrape_ms(directory: Path) -> float:
    """Return the median time in milliseconds of a scrape over HTTP of the figures of 33,000 runs."""
    import httpx  # noqa: PLC0415  here, as it would count in the figure of memory

    from greenroom.dashboard.server import Server  # noqa: PLC0415  likewise

    fill(directory / "journal.db", 0, COUNTED_RUNS)
    with orchestrator_in(directory) as orchestrator, Server(orchestrator, [], port=0) as server:
        token = {"Authorization": f"Bearer {server.token.value}"}
        with httpx.Client(base_url=server.url, headers=token, trust_env=False, timeout=60) as client:
            taken: list[float] = []
            for _ in range(READINGS):
                before = time.perf_counter()
                client.get("/metrics").raise_for_status()
                taken.append(time.perf_counter() - before)
    return statistics.median(taken) * 1000


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
    "journal": Figure(
        "the journal of 200 runs, for each further step of each",
        "kB",
        lambda _: 0.7,
        "less",
        lambda _: len('[{"args":[7],"kwargs":{}},7]') / 1000,
        "the step's arguments and result",
        journal_kb,
    ),
    "metrics": Figure(
        "figures over 33,000 runs, CPU time",
        "ms",
        lambda _: 50.0,
        "less",
        lambda floors: floors.interpreter_ms,
        "start of an interpreter",
        metrics_ms,
    ),
    "scrape": Figure(
        "GET /metrics over 33,000 runs",
        "ms",
        lambda _: 50.0,
        "less",
        lambda floors: floors.round_trip_ms,
        "1 round trip",
        scrape_ms,
    ),
}

if __name__ == "__main__":
    print(load_mb_here(Path(sys.argv[1])))
