"""Runs that wait are not kept in memory, and come back by themselves."""

from pathlib import Path

import pytest

from greenroom import Orchestrator, Pool, RunCancelled
from tests.support import eventually
from tests.workflows.apps.family import crowd, nap, parent


def live(orchestrator: Orchestrator) -> int:
    return orchestrator._engine.runs.statistics()["live"]


def test_parents_that_fill_the_program_workers_make_room_for_their_children(tmp_path: Path) -> None:
    pools = {"program": Pool(size=1, concurrency=2)}
    with Orchestrator(tmp_path / "runs.db", home=tmp_path, pools=pools) as orchestrator:
        runs = [orchestrator.start(parent, n) for n in range(4)]
        assert [run.result(timeout=30) for run in runs] == [3, 5, 7, 9]


def test_children_of_children_give_their_results_to_those_that_wait(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path) as orchestrator:
        run = orchestrator.start(crowd, 5, id="crowd")
        assert run.result(timeout=30) == [3, 5, 7, 9, 11]
        assert orchestrator.get("crowd~1~1").record.parent == "crowd~1"
        eventually(lambda: live(orchestrator) == 0)


def test_a_run_that_sleeps_for_long_leaves_memory_and_hears_a_cancellation_all_the_same(tmp_path: Path) -> None:
    with Orchestrator(tmp_path / "runs.db", home=tmp_path) as orchestrator:
        run = orchestrator.start(nap, 3600.0, id="nap")
        eventually(lambda: run.status == "waiting" and live(orchestrator) == 0)
    with Orchestrator(tmp_path / "runs.db", home=tmp_path) as orchestrator:
        run = orchestrator.start(nap, 3600.0, id="nap")
        assert live(orchestrator) == 0
        assert orchestrator.workers() == []
        run.cancel("enough")
        with pytest.raises(RunCancelled, match="enough"):
            run.result(timeout=30)
