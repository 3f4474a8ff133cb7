"""A pool that has given up is seen from outside, and what it has parked goes on by one order."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom import Client, Orchestrator, Pool
from tests.acceptance.apps.kills import stranded
from tests.support import eventually

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def orchestrator(home: Path) -> Iterator[Orchestrator]:
    with Orchestrator(pools={"tool": Pool(size=1, max_restarts=0, within=600.0)}) as opened:
        yield opened


def command(*arguments: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "greenroom", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def escalate(orchestrator: Orchestrator) -> None:
    orchestrator.start(stranded.loud, "first").result(30)
    worker = eventually(
        lambda: next((w for w in orchestrator.workers() if w.kind == "tool" and w.status == "idle"), None), 30
    )
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: any(pool.status == "degraded" for pool in orchestrator.metrics().pools), 30)


def test_a_degraded_pool_is_in_health_figures_and_tree(http: httpx.Client, orchestrator: Orchestrator, home: Path):
    assert http.get("/healthz").json() == {"status": "ok"}
    escalate(orchestrator)
    assert http.get("/healthz").json() == {"status": "degraded", "pools": {"tool": "degraded"}}
    text = http.get("/metrics").text
    app = next(pool.app for pool in orchestrator.metrics().pools)
    assert f'greenroom_pool_status{{app="{app}",pool="tool",status="degraded"}} 1.0' in text
    assert f'greenroom_pool_escalations_total{{app="{app}",pool="tool"}} 1.0' in text
    with Client() as client:
        assert [pool.status for pool in client.metrics().pools if pool.pool == "tool"] == ["degraded"]
    listed = command("actors", "list", "--home", str(home))
    assert "pool tool is degraded" in listed.stdout
    assert "degraded" in command("actors", "tree", "--home", str(home)).stdout


def by_client(**options: Any) -> list[str]:
    with Client() as client:
        return client.resume_all(**options)


def test_every_parked_run_goes_on_by_one_order(api: httpx.Client, orchestrator: Orchestrator, home: Path):
    orders: tuple[Callable[[], object], ...] = (
        lambda: api.post("/runs/resume", json={}).json()["run_ids"],
        by_client,
        lambda: command("runs", "resume", "--all", "--home", str(home)).stdout,
    )
    for number, order in enumerate(orders):
        escalate(orchestrator)
        run = orchestrator.start(stranded.loud, f"again {number}")
        eventually(lambda run=run: run.status == "parked", 30)
        assert api.post("/runs/resume", json={"name": "other"}).json()["run_ids"] == []
        assert order() in ([run.id], f"run {run.id} goes on\n")
        assert run.result(30) == f"AGAIN {number}"
    assert command("runs", "resume", "--home", str(home)).returncode == 2


def test_every_parked_session_goes_on_by_one_order(api: httpx.Client, orchestrator: Orchestrator, home: Path):
    orders: tuple[Callable[[], object], ...] = (
        lambda: by_client(kind="session"),
        lambda: command("sessions", "resume", "--all", "--home", str(home)).stdout,
        lambda: command("sessions", "resume", "talk", "anna", "--home", str(home)).stdout,
    )
    talk = orchestrator.session(stranded.talk, "anna")
    for number, order in enumerate(orders):
        escalate(orchestrator)
        talk.tell(stranded.Word(text="hello"))
        eventually(lambda: orchestrator.reads.session("talk/anna").status == "parked", 30)
        assert order() in (["talk/anna"], "session talk/anna goes on\n")
        eventually(lambda number=number: len(talk.state.words) == number + 1, 30)
