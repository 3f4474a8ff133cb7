"""Retrying a run: it goes on from what failed, recorded results stay, and it does not matter who is killed meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Orchestrator, RetryRefused, RunCancelled, RunFailed
from greenroom.messages.commands import RedriveDeadLetter, Refused, RetryRun
from tests.acceptance import harness
from tests.acceptance.apps.steering import retrying
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_a_failed_run_goes_on_from_its_failed_step_with_all_its_attempts(orchestrator, tmp_path):
    run = orchestrator.start(retrying.order, str(tmp_path), id="order")
    with pytest.raises(RunFailed, match="ship is not there"):
        run.result(30)
    assert run.state.steps == ["paid", "refunded"]
    (tmp_path / "ship").touch()
    run.retry()
    assert run.status != "failed"
    assert run.result(30) == "pay, ship"
    assert run.state.steps == ["paid", "shipped"]
    assert log(tmp_path) == ["pay order/effect#1", "ship 1", "ship 2", "refund order/effect#2", "ship 3"]
    steps = {step.key: step for step in run.steps()}
    assert list(steps) == ["effect#1", "shaky#1"], "what followed from the failure is forgotten"
    assert [(one.number, one.outcome) for one in steps["shaky#1"].attempts] == [(1, "error"), (2, "error"), (3, "ok")]
    tokens = [each.event.token for each in run.events() if each.event.type == "attempt.started"]
    assert len(set(tokens)) == len(tokens) == 5
    (figures,) = orchestrator.metrics().workflows
    assert figures.statuses == {"completed": 1}
    assert {one.name: (one.count, one.completed, one.failed) for one in figures.steps}["shaky"] == (1, 1, 0)


def test_a_retry_that_fails_again_may_be_retried_again_and_compensates_under_the_same_key(orchestrator, tmp_path):
    run = orchestrator.start(retrying.order, str(tmp_path), id="order")
    for times in range(1, 4):
        with pytest.raises(RunFailed):
            run.result(30)
        assert log(tmp_path).count("refund order/effect#2") == times
        run.retry() if times < 3 else (tmp_path / "ship").touch()
    run.retry()
    assert run.result(30) == "pay, ship"
    assert log(tmp_path).count("pay order/effect#1") == 1
    assert [one.number for one in run.steps()[1].attempts] == list(range(1, 8))


def test_a_parent_that_is_retried_lets_the_child_that_failed_go_on(orchestrator, tmp_path):
    run = orchestrator.start(retrying.family, str(tmp_path), id="family")
    with pytest.raises(RunFailed):
        run.result(30)
    (tmp_path / "ship").touch()
    run.retry()
    assert run.result(30) == "first, pay, ship"
    assert orchestrator.get("family~1").status == "completed"
    assert [line.split()[0] for line in log(tmp_path)] == ["first", "pay", "ship", "ship", "refund", "ship"]


def test_a_child_that_is_being_cancelled_goes_on_with_its_parent_once_it_has_cleaned_up(orchestrator, tmp_path):
    run = orchestrator.start(retrying.couple, str(tmp_path), id="couple")
    with pytest.raises(RunFailed, match="ship is not there"):
        run.result(30)
    eventually(lambda: "until cleaned" in log(tmp_path))
    (tmp_path / "ship").touch()
    run.retry()
    (tmp_path / "cleaned").touch()
    child = orchestrator.get("couple~1")
    eventually(lambda: child.status == "waiting" and "run.retried" in {each.event.type for each in child.events()})
    child.signal(retrying.Told(steps=["called"]))
    assert run.result(30) == "ship, called"


def test_a_child_that_is_being_cancelled_stays_so_if_its_parent_is_retried_and_cancelled_again(orchestrator, tmp_path):
    run = orchestrator.start(retrying.couple, str(tmp_path), id="couple")
    with pytest.raises(RunFailed, match="ship is not there"):
        run.result(30)
    eventually(lambda: "until cleaned" in log(tmp_path))
    (tmp_path / "ship").touch()
    run.retry()
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(30)
    (tmp_path / "cleaned").touch()
    child = orchestrator.get("couple~1")
    with pytest.raises(RunCancelled):
        child.result(30)
    run.retry()
    eventually(lambda: child.status == "waiting")
    child.signal(retrying.Told(steps=["called"]))
    assert run.result(30) == "ship, called"
    assert [each.event.type for each in child.events()].count("run.retried") == 1


def test_a_child_that_had_not_been_started_starts_with_the_retry_of_its_parent(orchestrator, tmp_path):
    run = orchestrator.start(retrying.hasty, str(tmp_path), id="hasty")
    with pytest.raises(RunFailed, match="Task-"):
        run.result(30)
    (tmp_path / "mended").touch()
    run.retry()
    with pytest.raises(RunFailed, match="ship is not there"):
        run.result(30)
    assert [line.split()[0] for line in log(tmp_path)].count("ship") == 2
    (tmp_path / "ship").touch()
    run.retry()
    assert run.result(30) == "pay, ship"


def test_a_child_that_is_retried_alone_does_not_reach_the_parent_that_heard_of_its_failure(orchestrator, tmp_path):
    run = orchestrator.start(retrying.family, str(tmp_path), id="family")
    with pytest.raises(RunFailed):
        run.result(30)
    (tmp_path / "ship").touch()
    child = orchestrator.get("family~1")
    child.retry()
    assert child.result(30) == "pay, ship"
    assert run.status == "failed"
    run.retry()
    assert run.result(30) == "first, pay, ship"
    assert [line.split()[0] for line in log(tmp_path)].count("ship") == 3, "it had completed already"


def test_a_run_that_failed_in_its_own_code_runs_that_again_on_what_is_recorded(orchestrator, tmp_path):
    run = orchestrator.start(retrying.own_fault, str(tmp_path))
    with pytest.raises(RunFailed, match="a bug of its own"):
        run.result(30)
    (tmp_path / "mended").touch()
    run.retry()
    assert run.result(30) == "done"
    assert len(log(tmp_path)) == 1


def test_a_cancelled_run_goes_on_from_where_it_was_told_to_end(orchestrator, tmp_path):
    run = orchestrator.start(retrying.long_wait, str(tmp_path))
    eventually(lambda: run.status == "waiting")
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(30)
    run.retry()
    eventually(lambda: run.status == "waiting")
    assert run.record.ended_at is None
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(30)
    assert len(log(tmp_path)) == 1


def test_what_has_not_failed_or_may_run_once_only_is_not_retried(orchestrator, tmp_path):
    run = orchestrator.start(retrying.long_wait, str(tmp_path))
    with pytest.raises(RetryRefused, match="has not ended"):
        run.retry()
    risky = orchestrator.start(retrying.risky, str(tmp_path))
    with pytest.raises(RunFailed):
        risky.result(30)
    with pytest.raises(RetryRefused, match="once=True"):
        risky.retry()
    (tmp_path / "ship").touch()
    done = orchestrator.start(retrying.order, str(tmp_path))
    done.result(30)
    with pytest.raises(RetryRefused, match="has completed"):
        done.retry()
    assert done.status == "completed"
    assert orchestrator.send(RetryRun(run_id="nobody")).code == "not_found"
    assert log(tmp_path).count("launch") == 1


def test_a_retry_that_was_acknowledged_survives_the_kill_of_everything(home: Path, mark: str, tmp_path: Path):
    """A process retries a run and is killed as soon as that is acknowledged; the next orchestrator finishes the run."""
    script = tmp_path / "retries.py"
    script.write_text(
        "import os, sys\n"
        "from tests.acceptance.apps.steering import retrying\n"
        "from tests.acceptance import harness\n"
        "from greenroom import Orchestrator, RunFailed\n"
        "with Orchestrator(sys.argv[1], pools=harness.pools()) as orchestrator:\n"
        "    run = orchestrator.start(retrying.family, sys.argv[2], id='family')\n"
        "    try:\n"
        "        run.result(30)\n"
        "    except RunFailed:\n"
        "        run.retry()\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "runs.db"), str(tmp_path)]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    (tmp_path / "ship").touch()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get("family")
        assert run.result(30) == "first, pay, ship"
        names = [line.split()[0] for line in log(tmp_path)]
        assert (names.count("first"), names.count("pay")) == (1, 1)
        assert len([one for one in run.events() if one.event.type == "run.retried"]) == 1


def test_a_quarantined_step_is_a_dead_letter_until_its_run_is_retried(orchestrator, tmp_path):
    run = orchestrator.start(retrying.poisoned, str(tmp_path))
    with pytest.raises(RunFailed):
        run.result(30)
    (letter,) = orchestrator.dead_letters()
    assert (letter.run_id, letter.letter, letter.kind, letter.type) == (run.id, "deadly#1", "step", "deadly")
    refused = orchestrator.send(RedriveDeadLetter(run_id=run.id, letter="deadly#1"))
    assert isinstance(refused, Refused)
    assert f"greenroom runs retry {run.id}" in refused.message
    (tmp_path / "antidote").touch()
    run.retry()
    assert run.result(30) == "antidote"
    assert orchestrator.dead_letters() == []
