"""Compensation is plain ``try`` and ``except``, and goes on where it stood when everything is killed in its middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import Orchestrator
from greenroom.testing import assert_state_is_fold
from tests.acceptance import harness
from tests.acceptance.apps.steering import sagas
from tests.support import ROOT, eventually

pytestmark = pytest.mark.slow

PARTS = ["flight", "hotel", "car"]
STORY = ["book-flight", "book-hotel", "book-car", "cancel-hotel", "cancel-flight"]

HOST = """
import sys
from tests.acceptance.apps.steering import sagas
from greenroom import Orchestrator
with Orchestrator(sys.argv[1]) as orchestrator:
    orchestrator.start(sagas.trip, sys.argv[2], sys.argv[3].split(), id="trip").result()
"""


def times_reached(folder: Path, name: str) -> int:
    path = folder / f"{name}.reached"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.timeout(120)
def test_an_orchestrator_killed_between_any_two_steps_leaves_nothing_undone_and_nothing_done_twice(
    home, mark, tmp_path
):
    """One orchestrator after the other opens the gate that its predecessor died before, and dies before the next."""
    script = tmp_path / "host.py"
    script.write_text(HOST)
    command = [sys.executable, str(script), str(tmp_path / "runs.db"), str(tmp_path), " ".join(PARTS)]
    for before, name in zip([None, *STORY], STORY, strict=False):
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as host:
            try:
                if before is not None:
                    eventually(lambda step=before: times_reached(tmp_path, step) == 2, 30, what=f"{before} again")
                    (tmp_path / before).touch()
                eventually(lambda step=name: times_reached(tmp_path, step) == 1, 30, what=name)
            finally:
                host.send_signal(signal.SIGKILL)
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.get("trip")
        (tmp_path / STORY[-1]).touch()
        assert run.result(30) == "stayed at home: error"
        assert [step.status for step in run.steps()] == ["completed", "completed", "failed", "completed", "completed"]
        assert_state_is_fold(run)
    assert (tmp_path / "log").read_text().splitlines() == STORY


def test_a_compensation_whose_process_is_killed_is_done_all_the_same(orchestrator, tmp_path):
    run = orchestrator.start(sagas.trip, str(tmp_path), PARTS)
    for name in STORY[:3]:
        (tmp_path / name).touch()
    for name in STORY[3:]:
        os.kill(harness.reached(tmp_path, name), signal.SIGKILL)
        eventually(lambda step=name: times_reached(tmp_path, step) == 2, 30)
        (tmp_path / name).touch()
    assert run.result(30) == "stayed at home: error"
    assert (tmp_path / "log").read_text().splitlines() == STORY
    assert [[attempt.outcome for attempt in step.attempts] for step in run.steps()] == [
        ["ok"],
        ["ok"],
        ["error"],
        ["crash", "ok"],
        ["crash", "ok"],
    ]
