"""Replayed code goes through its tasks in the order of the first time; where it cannot, the run stops before any harm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Orchestrator
from greenroom.testing import VirtualClock
from tests.acceptance import harness
from tests.acceptance.apps.replay import orders
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STEADY = ["abort", "done_set", "pending_set", "finished_tasks", "future_set", "every_task", "default_names", "texts"]
SCRIPT = """
import sys, threading
from tests.acceptance.apps.replay import orders
from greenroom import Orchestrator, Pool
pools = {"program": Pool(backend=sys.argv[3], env=("PYTHONHASHSEED",))}
with Orchestrator(sys.argv[1], pools=pools) as orchestrator:
    for name in sys.argv[4:]:
        orchestrator.start(getattr(orders, name), f"{sys.argv[2]}/{name}", None, id=name)
    threading.Event().wait()
"""


def sent(folder: Path, name: str) -> list[int]:
    """Give the numbers for which mails were sent, in their order."""
    path = folder / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def begin_and_kill(folder: Path, names: list[str], backend: str = "zygote") -> None:
    """Start workflows in an orchestrator of their own, and kill all of it when each waits in the middle."""
    script = folder / "starter.py"
    script.write_text(SCRIPT)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, str(script), str(folder / "runs.db"), str(folder), backend, *names]
    with subprocess.Popen(command, env=environ) as starter:
        try:
            eventually(
                lambda: starter.poll() is not None or all(waits(folder, name) for name in names),
                60,
                what="waiting in the middle",
            )
            assert starter.poll() is None
        finally:
            starter.kill()


def waits(folder: Path, name: str) -> bool:
    if len(sent(folder, name)) < orders.HALF:
        return False
    sql = "SELECT count(*) FROM events WHERE run_id = ? AND type = 'receive.asked'"
    return bool(harness.query(folder / "runs.db", sql, name)[0][0])


@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_a_run_whose_processes_are_all_killed_goes_on_in_the_order_in_which_it_began(
    home: Path, mark: str, tmp_path: Path, backend: str
):
    begin_and_kill(tmp_path, STEADY, backend)
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(program={"backend": backend})) as orchestrator:
        runs = [orchestrator.get(name) for name in STEADY]
        for run in runs:
            run.signal(orders.Go())
        results = {run.id: run.result(60) for run in runs}
    for name in STEADY:
        numbers = sent(tmp_path, name)
        assert sorted(numbers) == list(range(orders.MANY)), name
        assert results[name] == [(number, number) for number in numbers], name


def test_a_run_that_left_memory_goes_on_in_the_order_in_which_it_began(home: Path, mark: str, tmp_path: Path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), clock=VirtualClock()) as orchestrator:
        runs = [orchestrator.start(getattr(orders, name), str(tmp_path / name), 40.0, id=name) for name in STEADY]
        results = {run.id: run.result(60) for run in runs}
        starts = [sum(stored.event.type == "program.started" for stored in run.events()) for run in runs]
    assert min(starts) > 1  # else nothing was replayed
    for name in STEADY:
        numbers = sent(tmp_path, name)
        assert sorted(numbers) == list(range(orders.MANY)), name
        assert results[name] == [(number, number) for number in numbers], name


def test_a_set_that_nothing_can_keep_in_order_parks_the_run_before_a_call_gets_the_result_of_another(
    home: Path, mark: str, tmp_path: Path
):
    begin_and_kill(tmp_path, ["things"])
    before = sent(tmp_path, "things")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get("things")
        run.signal(orders.Go())
        eventually(lambda: run.status == "parked", 60)
        reason = run.record.reason
    assert sent(tmp_path, "things") == before
    assert "its code does not ask for the same again" in reason
    assert "mail#" in reason
    assert f"{Path(orders.__file__)}:" in reason
    assert "args[1] was " in reason
    assert "sorted()" in reason


def test_what_is_left_of_a_run_that_left_memory_does_nothing_in_the_name_of_another(
    home: Path, mark: str, tmp_path: Path
):
    """Its tasks end with it. Collected as garbage later, they would clean up in the midst of another run's code."""
    log = tmp_path / "log"
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        litter = [orchestrator.start(orders.litter, str(log)) for _ in range(20)]
        eventually(lambda: all(run.status == "waiting" for run in litter), 30)
        alive = orchestrator._engine.runs.statistics
        eventually(lambda: alive()["live"] == 0, 40, what="leaving memory")
        others = [orchestrator.start(orders.tidy, str(log)) for _ in range(10)]
        for run in others:
            run.result(60)
            assert [stored.event.key for stored in run.events() if stored.event.type == "step.scheduled"] == ["mail#1"]
    assert sent(tmp_path, "log") == [1] * 10
