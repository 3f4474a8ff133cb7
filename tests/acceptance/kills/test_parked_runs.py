"""Runs and sessions that a pool's escalation has parked: they are seen, and go on with the pool or by order."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator
from tests.acceptance import harness
from tests.acceptance.apps.kills import stranded
from tests.support import eventually

pytestmark = pytest.mark.slow


def opened(tmp_path: Path, within: float) -> Orchestrator:
    pools = harness.pools(tool={"max_restarts": 0, "within": within, "size": 1})
    return Orchestrator(tmp_path / "runs.db", pools=pools)


def escalate(orchestrator: Orchestrator) -> None:
    """Have the pool of tools give up: its only worker dies without anybody to blame."""
    assert orchestrator.start(stranded.loud, "first").result(30) == "FIRST"
    worker = eventually(
        lambda: next((w for w in orchestrator.workers() if w.kind == "tool" and w.status == "idle"), None), 30
    )
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: pool_of_tools(orchestrator).status == "degraded", 30)


def pool_of_tools(orchestrator: Orchestrator) -> Any:
    return next(pool for app in orchestrator.tree().children for pool in app.children if pool.id == "tool")


def park(orchestrator: Orchestrator) -> tuple[list[Any], Any]:
    runs = [orchestrator.start(stranded.loud, f"word {number}") for number in range(5)]
    talk = orchestrator.session(stranded.talk, "anna")
    talk.tell(stranded.Word(text="hello"))
    for run in runs:
        eventually(lambda run=run: run.status == "parked", 30)
    eventually(lambda: orchestrator.reads.session("talk/anna").status == "parked", 30)
    return runs, talk


def assert_they_went_on(orchestrator: Orchestrator, runs: list[Any], talk: Any) -> None:
    for number, run in enumerate(runs):
        eventually(lambda run=run: run.status == "completed", 60)
        assert run.result() == f"WORD {number}"
    eventually(lambda: talk.state.words == ["HELLO"], 60)
    assert not orchestrator.reads.journal.marks("stranded")


@pytest.mark.timeout(120)
def test_they_go_on_by_themselves_when_the_pool_does(tmp_path: Path, home: Path, mark: str):
    with opened(tmp_path, within=4.0) as orchestrator:
        escalate(orchestrator)
        runs, talk = park(orchestrator)
        (figures,) = [pool for pool in orchestrator.metrics().pools if pool.pool == "tool"]
        assert (figures.status, figures.escalations) == ("degraded", 1)
        assert "given up" in figures.detail
        assert_they_went_on(orchestrator, runs, talk)
        eventually(lambda: pool_of_tools(orchestrator).status == "running", 30)


@pytest.mark.timeout(120)
def test_they_go_on_with_the_next_orchestrator(tmp_path: Path, home: Path, mark: str):
    with opened(tmp_path, within=600.0) as orchestrator:
        escalate(orchestrator)
        runs, _ = park(orchestrator)
        ids = [run.id for run in runs]
    with opened(tmp_path, within=600.0) as orchestrator:
        talk = orchestrator.session(stranded.talk, "anna")
        assert_they_went_on(orchestrator, [orchestrator.get(run_id) for run_id in ids], talk)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("all_of_them", [False, True])
def test_who_has_mended_the_cause_need_not_wait_for_the_pool(tmp_path: Path, home: Path, mark: str, all_of_them: bool):
    with opened(tmp_path, within=600.0) as orchestrator:
        escalate(orchestrator)
        runs, talk = park(orchestrator)
        if all_of_them:
            orchestrator.resume_all()
        else:
            runs[3].resume()
        assert_they_went_on(orchestrator, runs, talk)
        eventually(lambda: pool_of_tools(orchestrator).status == "running", 30)


@pytest.mark.timeout(120)
def test_what_is_parked_for_good_goes_on_by_one_order(tmp_path: Path, home: Path, mark: str):
    with opened(tmp_path, within=3.0) as orchestrator:
        orchestrator._engine._parked.hear = lambda event: None  # noqa: ARG005  the name is part of the seam
        escalate(orchestrator)
        runs, talk = park(orchestrator)
        eventually(lambda: pool_of_tools(orchestrator).status == "running", 30)
        assert orchestrator.resume_all("other") == []
        assert orchestrator.resume_all() == [run.id for run in runs]
        assert orchestrator.resume_all(kind="session") == ["talk/anna"]
        assert_they_went_on(orchestrator, runs, talk)
