"""An orchestrator inside a script: interrupted, terminated, stopped and continued."""

import asyncio
import copy
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

from greenroom import Orchestrator
from tests.acceptance import harness
from tests.acceptance.apps.effects import effects
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
APPS = Path(__file__).parent.parent / "apps" / "contract"
ROOT = APPS.parents[3]


@pytest.fixture
def script(tmp_path: Path, mark: str):
    """Run a script that hangs in a tool, in a process group of its own, like a shell does."""
    source = (APPS / "interrupted.py").read_text()
    (tmp_path / "interrupted.py").write_text(source)
    process = subprocess.Popen(
        [sys.executable, "interrupted.py", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    eventually(lambda: (tmp_path / "hanging").exists() or process.poll() is not None, 20)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("whom", ["group", "process"])
def test_ctrl_c_ends_everything_soon_and_the_run_can_be_gone_on_with(
    script, whom, tmp_path, mark, figure: Callable[..., None]
):
    pressed = time.monotonic()
    (os.killpg if whom == "group" else os.kill)(script.pid, signal.SIGINT)
    _, stderr = script.communicate(timeout=20)
    took = time.monotonic() - pressed
    figure(f"Ctrl+C to the {whom} until the end of a script that waits for a hanging tool", took, "s")
    assert took < 5.0
    assert script.returncode in {130, -signal.SIGINT, 1}
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert not harness.census(mark)
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", recover=False) as again:
        run = again.get("endless")
        assert run.status == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGQUIT])
def test_whatever_ends_the_script_ends_its_workers_within_a_second(script, number, mark):
    family = harness.census(mark)
    assert len(family) >= 4, "keeper, zygote, program and tool"
    script.send_signal(number)
    script.wait(10)
    eventually(lambda: not harness.census(mark), 1.0)


def test_an_orchestrator_that_was_stopped_and_continued_blames_nobody(tmp_path, mark):
    """Like a laptop that slept: deadlines have passed, but the answers were there in time."""
    owner = subprocess.Popen([sys.executable, "-m", "tests.acceptance.apps.kills.owner", str(tmp_path), "4", "napping"])
    try:
        eventually(lambda: len(effects(tmp_path / "effects.log")) >= 3)
        owner.send_signal(signal.SIGSTOP)
        time.sleep(4.0)  # longer than the deadline, and than a stopped worker is given
        owner.send_signal(signal.SIGCONT)
        assert owner.wait(40) == 0
    finally:
        if owner.poll() is None:
            owner.kill()
            owner.wait()
    logs = harness.read_journal(tmp_path / "runs.db")
    ends = [event for log in logs.values() for event in log.of("attempt.ended")]
    assert [event["outcome"] for event in ends] == ["ok"] * 16
    assert harness.broken_invariants(logs, effects(tmp_path / "effects.log")) == []


def test_an_orchestrator_may_live_in_any_thread_and_beside_an_event_loop(tmp_path, home, mark):
    from tests.acceptance.apps.contract import authoring  # noqa: PLC0415

    found: list[list[int]] = []

    async def use(path: Path) -> list[int]:
        with Orchestrator(path, home=path.with_suffix(".home")) as orchestrator:
            return await orchestrator.start(authoring.sequential, 1)

    thread = threading.Thread(target=lambda: found.append(asyncio.run(use(tmp_path / "thread.db"))))
    thread.start()
    found.append(asyncio.run(use(tmp_path / "main.db")))
    thread.join()
    assert found == [[1, 2, 4, 8]] * 2


def test_two_orchestrators_of_one_process_work_side_by_side(tmp_path, mark):
    from tests.acceptance.apps.contract import authoring  # noqa: PLC0415

    with (
        Orchestrator(tmp_path / "a.db", home=tmp_path / "a") as first,
        Orchestrator(tmp_path / "b.db", home=tmp_path / "b") as second,
    ):
        runs = [orchestrator.start(authoring.sequential, 1, id="same") for orchestrator in (first, second)]
        assert [run.result(30) for run in runs] == [[1, 2, 4, 8]] * 2


def test_a_second_orchestrator_may_share_the_default_home_with_another_journal(tmp_path, home, mark, caplog):
    from tests.acceptance.apps.contract import authoring  # noqa: PLC0415

    with Orchestrator(tmp_path / "a.db") as first, Orchestrator(tmp_path / "b.db") as second:
        for orchestrator in (first, second):
            assert orchestrator.start(authoring.sequential, 1).result(30) == [1, 2, 4, 8]


@pytest.mark.parametrize("copied", [ForkingPickler.dumps, copy.deepcopy])
def test_what_cannot_be_taken_to_another_process_says_how_that_one_reaches_it(tmp_path, mark, copied):
    from tests.acceptance.apps.contract import authoring  # noqa: PLC0415

    with Orchestrator(":memory:", home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(authoring.sequential, 1)
        for handle in (orchestrator, run, orchestrator.aio, run.aio):
            with pytest.raises(TypeError, match="belongs to its process, .*hand on their ids.*`Client`"):
                copied(handle)
        assert run.result(30) == [1, 2, 4, 8]
