"""Compensation after a cancellation is made to its end, whatever the run was at and whatever dies meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Budget, Orchestrator, RunCancelled, RunParked
from greenroom.testing import VirtualClock, assert_state_is_fold
from tests.acceptance import harness
from tests.acceptance.apps.steering import compensating
from tests.acceptance.harness import reached
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
STORY = ["book flight", "book hotel", "undo hotel", "undo flight"]

HOST = """
import sys
from tests.acceptance.apps.steering import compensating
from greenroom import Orchestrator
with Orchestrator(sys.argv[1]) as orchestrator:
    run = orchestrator.start(compensating.trip, sys.argv[2], id="trip")
    print("open", flush=True)
    sys.stdin.readline()
    run.cancel("enough")
    print("cancelled", flush=True)
    run.result()
"""


def log(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def cancelled(run) -> None:
    with pytest.raises(RunCancelled, match="enough"):
        run.result(60)
    assert_state_is_fold(run)


def test_cleanup_waits_retries_and_asks_for_longer_than_a_day(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), clock=VirtualClock()) as opened:
        run = opened.start(compensating.asleep, str(tmp_path))
        eventually(lambda: run.status == "waiting")
        run.cancel("enough")
        run.signal(compensating.Go(word="all of it"))
        with pytest.raises(TimeoutError):
            run.result(1.0)
        question = eventually(run.approvals, 60)[0]
        opened.decide(question.id, "approve")
        cancelled(run)
    assert log(tmp_path) == ["book bed", "undo shaky", "undo all of it approve"]


@pytest.mark.parametrize("halted", ["paused", "parked"])
def test_a_halted_run_that_is_cancelled_cleans_up_and_begins_nothing_else(orchestrator, tmp_path, halted):
    budgeted = compensating.trip.options(budget=Budget(attempts=3)) if halted == "parked" else compensating.trip
    run = orchestrator.start(budgeted, str(tmp_path))
    reached(tmp_path)
    if halted == "paused":
        run.pause("for lunch")
    (tmp_path / "gate").touch()
    if halted == "parked":
        with pytest.raises(RunParked, match="3 of 3 attempts"):
            run.result(60)
    else:
        eventually(lambda: run.steps()[2].status == "completed")
    (tmp_path / "cleanup").touch()
    run.cancel("enough")
    cancelled(run)
    assert log(tmp_path) == STORY


def test_a_run_cancelled_before_its_orchestrator_was_killed_in_its_cleanup_goes_on_with_it(home, mark, tmp_path):
    script = tmp_path / "host.py"
    script.write_text(HOST)
    command = [sys.executable, str(script), str(tmp_path / "runs.db"), str(tmp_path)]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as host:
        try:
            reached(tmp_path)
            host.stdin.write("go\n")
            host.stdin.flush()
            assert host.stdout.readline() == "open\n"
            assert host.stdout.readline() == "cancelled\n"
            reached(tmp_path, "cleanup")
        finally:
            host.send_signal(signal.SIGKILL)
    clock = VirtualClock()
    clock.advance(3600)  # the orchestrator was down for an hour
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), clock=clock) as opened:
        run = opened.get("trip")
        assert run.status == "running"
        (tmp_path / "cleanup").touch()
        cancelled(run)
    assert log(tmp_path) == STORY


def test_cleanup_that_is_paused_and_whose_program_is_killed_is_made_once(orchestrator, tmp_path):
    run = orchestrator.start(compensating.trip, str(tmp_path))
    reached(tmp_path)
    run.cancel("enough")
    reached(tmp_path, "cleanup")
    for worker in orchestrator.workers():
        if worker.kind == "program":
            orchestrator.kill(worker.id)
    run.pause("look at it")
    (tmp_path / "cleanup").touch()
    eventually(lambda: run.steps()[-1].status == "completed")
    assert run.status == "paused"
    run.cancel("and go on")
    cancelled(run)
    assert log(tmp_path) == STORY


def test_a_parent_that_is_cancelled_waits_for_the_cleanup_of_its_child(orchestrator, tmp_path):
    run = orchestrator.start(compensating.parent, str(tmp_path))
    reached(tmp_path)
    run.cancel("enough")
    reached(tmp_path, "cleanup")
    assert run.status == "running"
    (tmp_path / "cleanup").touch()
    cancelled(run)
    assert log(tmp_path) == [*STORY, "undo parent"]


def test_a_paused_parent_that_is_cancelled_has_its_paused_child_clean_up_first(orchestrator, tmp_path):
    run = orchestrator.start(compensating.parent, str(tmp_path))
    reached(tmp_path)
    run.pause("for lunch")
    child = next(record for record in orchestrator.runs() if record.parent == run.id)
    eventually(lambda: orchestrator.get(child.id).status == "paused")
    (tmp_path / "gate").touch()
    (tmp_path / "cleanup").touch()
    eventually(lambda: orchestrator.get(child.id).steps()[-1].status == "completed")
    run.cancel("enough")
    cancelled(run)
    assert orchestrator.get(child.id).status == "cancelled"
    assert log(tmp_path) == [*STORY, "undo parent"]


def test_the_limit_of_a_parent_ends_the_cleanup_of_its_children(orchestrator, tmp_path):
    run = orchestrator.start(compensating.parent, str(tmp_path))
    reached(tmp_path)
    run.cancel("enough")
    reached(tmp_path, "cleanup")
    run.cancel(within=0)
    cancelled(run)
    child = next(record for record in orchestrator.runs() if record.parent == run.id)
    eventually(lambda: orchestrator.get(child.id).status == "cancelled")
    assert log(tmp_path) == STORY[:2]


def test_a_session_that_is_cancelled_in_a_turn_cleans_up_and_ends(orchestrator, tmp_path):
    desk = orchestrator.session(compensating.desk, "k")
    desk.tell(compensating.Go(word=str(tmp_path)))
    reached(tmp_path)
    orchestrator.get(desk.id).cancel("enough")
    eventually(lambda: desk.status == "cancelled", 60)
    assert log(tmp_path) == ["undo turn"]


def test_what_is_no_limit_is_refused(orchestrator, tmp_path):
    run = orchestrator.start(compensating.trip, str(tmp_path))
    for within in (-1, float("nan"), "soon"):
        with pytest.raises((ValueError, TypeError), match="within is a number of seconds"):
            run.cancel(within=within)
    run.cancel(within=0)
