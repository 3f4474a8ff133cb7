"""Measure how costs grow: with finished runs in the journal, with the steps of a run, with the size of values.

Commands:

    python benchmarks/growth.py                  a few minutes; writes docs/growth/growth.json and the plots beside it
    python benchmarks/growth.py --runs 1000000   up to a million finished runs; a quarter of an hour, and 5 GB of disk
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from figures import cpu_time
from past import fill
from plots import Point, plot
from rounds import orchestrator_in
from work import chain, echoes

from greenroom import Orchestrator
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.workflows.queries.reader import JournalQueries

ROOT = Path(__file__).resolve().parent.parent
DECADES = (100, 1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (10, 100, 1_000, 5_000, 20_000)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
PROBE_RUNS, PROBE_STEPS = 50, 10
ENOUGH = 1_000
"""Steps that are measured together, if they are small."""
ROUNDS = 3


def main() -> None:
    """Measure everything, and write the points and the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000, help="most finished runs in a journal (default 100,000)")
    parser.add_argument("--steps", type=int, default=20_000, help="most steps of a run (default 20,000)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "growth", help="folder of the output")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="greenroom-growth-") as place:
        directory = Path(place)
        steps, figures = by_runs(directory, given.runs)
        found = {
            "runs": ("finished runs in the journal", "CPU time of a step (ms)", steps),
            "metrics": ("finished runs in the journal", "CPU time of all figures (ms)", figures),
            "steps": ("steps of one run", "CPU time of a step (ms)", list(by_steps(directory, given.steps))),
            "values": ("bytes in and out", "CPU time of a step (ms)", list(by_size(directory))),
        }
    given.output.mkdir(parents=True, exist_ok=True)
    for name, (x, y, points) in found.items():
        (given.output / f"{name}.svg").write_text(plot(x, y, points), encoding="utf-8")
    plain = {name: {"x": x, "y": y, "points": points} for name, (x, y, points) in found.items()}
    (given.output / "growth.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def by_runs(directory: Path, most: int) -> tuple[list[Point], list[Point]]:
    """Return the cost of a step, and of figures over all runs, for a journal with more and more finished runs."""
    journal, there = directory / "runs" / "journal.db", 0
    journal.parent.mkdir()
    steps: list[Point] = []
    figures: list[Point] = []
    for runs in [each for each in DECADES if each <= most]:
        fill(journal, there, runs)
        there = runs
        with orchestrator_in(journal.parent) as orchestrator:
            orchestrator.start(chain, 5).result(60)
            steps.append(told("runs", runs, least(partial(cost, orchestrator, PROBE_RUNS, PROBE_STEPS))))
        opened = SqliteJournal(journal, read_only=True)
        figures.append(told("metrics", runs, least(partial(read, opened, runs))))
        opened.close()
    return steps, figures


def read(journal: SqliteJournal, runs: int) -> float:
    """Return the CPU time in milliseconds of figures over all runs."""
    before = time.process_time()
    assert JournalQueries(journal).metrics().totals.runs > runs  # and those that were measured
    return (time.process_time() - before) * 1000


def by_steps(directory: Path, most: int) -> Iterator[Point]:
    """Yield the cost of a step in longer and longer runs."""
    for steps in [each for each in LENGTHS if each <= most]:
        place = directory / f"steps-{steps}"
        place.mkdir()
        with orchestrator_in(place) as orchestrator:
            orchestrator.start(chain, 5).result(60)
            runs, rounds = max(1, ENOUGH // steps), ROUNDS if steps <= ENOUGH else 1
            yield told("steps", steps, least(partial(cost, orchestrator, runs, steps), rounds))


def by_size(directory: Path) -> Iterator[Point]:
    """Yield the cost of a step with larger and larger values."""
    for size in SIZES:
        place = directory / f"size-{size}"
        place.mkdir()
        with orchestrator_in(place) as orchestrator:
            orchestrator.start(echoes, 5, 10).result(60)
            steps = min(ENOUGH, max(30, 2_000_000 // size))
            yield told("bytes", size, least(partial(large, orchestrator, steps, size)))


def cost(orchestrator: Orchestrator, runs: int, steps: int) -> float:
    """Return the CPU time in milliseconds that a step costs in all processes."""
    before = cpu_time()
    for run in [orchestrator.start(chain, steps) for _ in range(runs)]:
        run.result(1_000)
    return (cpu_time() - before) * 1000 / (runs * steps)


def large(orchestrator: Orchestrator, steps: int, size: int) -> float:
    """Return the same for a run whose steps take and return a text of this size."""
    before = cpu_time()
    orchestrator.start(echoes, steps, size).result(1_000)
    return (cpu_time() - before) * 1000 / steps


def least(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    """Return the least of several rounds: what other programs do can only add to it."""
    return min(measure() for _ in range(rounds))


def told(what: str, x: int, y: float) -> Point:
    """Print a point, and return it."""
    print(f"{what:>10} {x:>9,}: {y:.3g} ms", file=sys.stderr, flush=True)
    return x, y


if __name__ == "__main__":
    main()
