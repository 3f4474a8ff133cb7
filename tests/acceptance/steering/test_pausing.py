"""Pausing: what runs may end, nothing new begins, and nothing is lost however long it takes."""

import time

import pytest

from greenroom import Orchestrator, RunCancelled
from tests.acceptance import harness
from tests.acceptance.apps.steering import pausing, running
from tests.acceptance.harness import reached
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def look_around(orchestrator: Orchestrator) -> None:
    """Give whatever should not happen every chance to: each of these is a trip through the orchestrator."""
    for _ in range(200):
        orchestrator.workers()


def test_a_step_that_runs_may_end_and_the_next_one_waits_for_the_run_to_go_on(orchestrator, tmp_path):
    run = orchestrator.start(pausing.gates, str(tmp_path))
    reached(tmp_path, "first")
    run.pause("for lunch")
    assert run.status == "paused"
    assert run.record.reason == "for lunch"
    (tmp_path / "first").touch()
    eventually(lambda: run.steps()[0].status == "completed")
    look_around(orchestrator)
    assert not (tmp_path / "log").exists()
    assert len(run.steps()) == 1
    assert run.status == "paused"
    with pytest.raises(TimeoutError, match="paused"):
        run.result(0.01)
    run.resume()
    reached(tmp_path, "second")
    assert run.status == "running"
    (tmp_path / "second").touch()
    assert run.result(30) == "first, second"
    assert [[attempt.outcome for attempt in step.attempts] for step in run.steps()] == [["ok"]] * 3
    assert (tmp_path / "log").read_text().split() == ["between"]


def test_a_pause_outlives_the_orchestrator(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        run = first.start(pausing.gates, str(tmp_path), id="paused")
        reached(tmp_path, "first")
        run.pause()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        run = second.get("paused")
        eventually(lambda: run.steps()[0].attempts[0].exit is not None, what="the record of the attempt's end")
        look_around(second)
        assert run.status == "paused"
        assert len((tmp_path / "first.reached").read_text().splitlines()) == 1
        (tmp_path / "first").touch()
        (tmp_path / "second").touch()
        run.resume()
        assert run.result(30) == "first, second"
        assert [attempt.charged for attempt in run.steps()[0].attempts] == [False, True]


def test_a_wait_that_is_over_meanwhile_ends_when_the_run_goes_on(orchestrator):
    run = orchestrator.start(running.asleep, 0.5)
    eventually(lambda: run.status == "waiting")
    (due,) = [stored.event.due for stored in run.events() if stored.event.type == "timer.set"]
    run.pause()
    eventually(lambda: time.time() > due)
    look_around(orchestrator)
    assert run.status == "paused"
    run.resume()
    assert run.result(30) == "awake"


def test_children_pause_and_go_on_with_their_parent(orchestrator, tmp_path):
    run = orchestrator.start(pausing.family, str(tmp_path))
    reached(tmp_path, "first")
    run.pause()
    (child,) = orchestrator.runs(name="gates")
    eventually(lambda: orchestrator.get(child.id).status == "paused")
    (tmp_path / "first").touch()
    (tmp_path / "second").touch()
    eventually(lambda: orchestrator.get(child.id).steps()[0].status == "completed")
    look_around(orchestrator)
    assert not (tmp_path / "log").exists()
    run.resume()
    assert run.result(30) == "first, second"


def test_a_paused_run_can_be_cancelled(orchestrator, tmp_path):
    run = orchestrator.start(pausing.gates, str(tmp_path))
    reached(tmp_path, "first")
    run.pause()
    run.cancel("enough")
    with pytest.raises(RunCancelled, match="enough"):
        run.result(30)


def test_pausing_or_resuming_what_needs_neither_changes_nothing(orchestrator, tmp_path):
    run = orchestrator.start(pausing.gates, str(tmp_path))
    reached(tmp_path, "first")
    run.resume()
    run.pause()
    run.pause("again")
    run.resume()
    (tmp_path / "first").touch()
    (tmp_path / "second").touch()
    assert run.result(30) == "first, second"
    run.pause()
    assert run.status == "completed"
    types = [stored.event.type for stored in run.events()]
    assert (types.count("run.paused"), types.count("run.resumed")) == (1, 1)
