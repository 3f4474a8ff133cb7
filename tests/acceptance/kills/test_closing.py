"""Closing an orchestrator: what steps do in the grace is recorded, and nothing of it is done again."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from greenroom import Orchestrator
from tests.acceptance.apps.kills import closing
from tests.acceptance.harness import pools, read_journal
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def opened(tmp_path, home, mark):
    def opened():
        return Orchestrator(tmp_path / "runs.db", pools=pools())

    return opened


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def test_a_step_that_ends_within_the_grace_is_recorded_and_not_done_again(opened, tmp_path):
    orchestrator = opened()
    run = orchestrator.start(closing.effects, str(tmp_path), 1.0, id="run")
    eventually(lambda: log(tmp_path), 20, what="the first effect")
    orchestrator.close(grace=30)
    assert log(tmp_path) == ["begin effect#1", "end effect#1"], "nothing else was begun"
    assert "effect#1" in read_journal(tmp_path / "runs.db")["run"].completed()
    with opened() as again:
        assert again.get(run.id).result(30) == ["done", "done"]
    assert log(tmp_path) == [f"{what} effect#{number}" for number in (1, 2) for what in ("begin", "end")]


def test_many_steps_that_end_within_the_grace_are_all_recorded(opened, tmp_path):
    orchestrator = opened()
    for number in range(4):
        orchestrator.start(closing.effects, str(tmp_path / str(number)), 0.5, id=f"run-{number}")
        (tmp_path / str(number)).mkdir()
    eventually(lambda: any(log(tmp_path / str(number)) for number in range(4)), 20, what="an effect")
    orchestrator.close(grace=30)
    with opened() as again:
        for number in range(4):
            assert again.get(f"run-{number}").result(30) == ["done", "done"]
            lines = log(tmp_path / str(number))
            assert len(lines) == len(set(lines)) == 4


def test_an_asynchronous_step_is_cancelled_at_the_end_of_the_grace_and_cleans_up(opened, tmp_path):
    orchestrator = opened()
    run = orchestrator.start(closing.waiting, str(tmp_path), 60.0, id="run")
    eventually(lambda: log(tmp_path), 20, what="the wait")
    orchestrator.close(grace=0.1)
    assert log(tmp_path) == ["begin", "cancelled", "cleaned up"]
    events = read_journal(tmp_path / "runs.db")["run"]
    assert not events.of("attempt.ended", "step.failed"), "a cancelled attempt is none that failed"
    with opened() as again:
        eventually(lambda: log(tmp_path).count("begin") == 2, 20, what="the second attempt")
        assert again.get(run.id).status == "running"


def test_a_step_that_outlives_the_grace_is_ended_and_run_again(opened, tmp_path):
    orchestrator = opened()
    orchestrator.start(closing.effects, str(tmp_path), 3600.0, id="run")
    eventually(lambda: log(tmp_path), 20, what="the first effect")
    begun = time.monotonic()
    orchestrator.close(grace=0)
    assert time.monotonic() - begun < 10
    with opened():
        eventually(lambda: log(tmp_path) == ["begin effect#1"] * 2, 20, what="the second attempt")


def test_ctrl_c_while_it_closes_ends_the_waiting(opened, tmp_path):
    orchestrator = opened()
    orchestrator.start(closing.effects, str(tmp_path), 3600.0, id="run")
    eventually(lambda: log(tmp_path), 20, what="the first effect")
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        orchestrator.close(grace=300)
    assert time.monotonic() - begun < 30
    timer.join()
    opened().close(grace=0)  # the locks are free


def test_an_orchestrator_with_nothing_to_do_closes_at_once(opened, tmp_path):
    orchestrator = opened()
    (tmp_path / "log").touch()
    orchestrator.start(closing.effects, str(tmp_path), 0.0).result(30)
    begun = time.monotonic()
    orchestrator.close(grace=300)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("grace", [-1, float("inf"), float("nan"), True, "1"])
def test_a_grace_is_a_number_of_seconds(opened, grace):
    orchestrator = opened()
    with pytest.raises(ValueError, match="grace is a number of seconds"):
        orchestrator.close(grace=grace)
    orchestrator.close()
