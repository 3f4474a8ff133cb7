"""What a pool's limits mean for the code that runs under them."""

import re
import time

import pytest

from greenroom import Orchestrator, Pool, RunFailed
from tests.acceptance.apps.limits import limited
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def start(tmp_path, home, mark):
    opened = []

    def start(**pools):
        opened.append(Orchestrator(tmp_path / "runs.db", pools=pools))
        return opened[-1]

    yield start
    for orchestrator in opened:
        orchestrator.close()


def test_files_seconds_and_folder_are_what_the_pool_says(start, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    orchestrator = start(tool=Pool(open_files=99, cpu=77.0, workdir=folder))
    assert orchestrator.start(limited.asking).result(60) == {"files": 99, "cpu": 78, "folder": str(folder)}


@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_stacks_of_threads_are_no_part_of_a_memory_limit(start, backend):
    orchestrator = start(tool=Pool(memory_mb=300, size=1, backend=backend))
    assert orchestrator.start(limited.threading_beside, 60, 60).result(60) == 60 << 20
    for threads in (0, 20):
        with pytest.raises(RunFailed, match="MemoryError"):
            orchestrator.start(limited.threading_beside, threads, 320).result(60)


@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_a_limit_below_what_the_app_holds_is_said_at_once(start, backend):
    begun = time.monotonic()
    orchestrator = start(tool=Pool(memory_mb=5, backend=backend))
    sentence = r"may have memory_mb=\d, and .* takes \d+ MiB before any work is done: give them at least that"
    for workflow in (limited.asking, limited.too_small):
        run = orchestrator.start(workflow)
        eventually(lambda run=run: run.status == "parked", 60, what="parking")
        assert re.search(sentence, list(run.events())[-1].event.reason)
    assert time.monotonic() - begun < 45
    assert not [worker for worker in orchestrator.workers() if worker.kind == "tool"]


@pytest.mark.parametrize(
    ("pools", "fault"),
    [
        ({"tol": Pool()}, "did you mean 'tool'"),
        ({"search": Pool()}, "is the pool of no worker"),
        ({"tool": Pool(concurrency=8)}, "one job at a time: give size=8"),
        ({"evaluator": Pool(concurrency=2)}, "one job at a time"),
        ({"tool": 3}, "has to be a Pool"),
        ({"tool": Pool(concurrency=8), "evaluator": None}, r"tool.*evaluator"),
    ],
)
def test_pools_that_no_worker_could_be_in_are_refused_before_anything_is_made(tmp_path, home, pools, fault):
    with pytest.raises((TypeError, ValueError), match=fault):
        Orchestrator(tmp_path / "runs.db", pools=pools)
    assert not (tmp_path / "runs.db").exists()
