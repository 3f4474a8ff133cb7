"""A command that needs a worker while a pool takes no work: it is refused for now, and is not called wrong."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from greenroom import Client, Orchestrator, Pool, WorkersUnavailable
from greenroom.dashboard.server import Server
from tests.dashboard.conftest import APP, start
from tests.support import eventually

pytestmark = pytest.mark.slow

PAUSE = 5.0


def give_up(orchestrator: Orchestrator) -> None:
    """Have the pool of programs give up: its only worker dies."""
    (worker,) = [each for each in orchestrator.workers() if each.kind == "program"]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: status_of_programs(orchestrator) == "degraded")


def status_of_programs(orchestrator: Orchestrator) -> str:
    (pool,) = [each for app in orchestrator.tree().children for each in app.children if each.id == "program"]
    return pool.status


def test_what_a_pool_that_has_given_up_would_check_may_be_sent_again(home: Path):
    pools = {"program": Pool(size=1, max_restarts=0, within=PAUSE)}
    with Orchestrator(pools=pools) as orchestrator, Server(orchestrator, [str(APP)], port=0) as server:
        start(orchestrator, "total", "first", a=1).result(30)
        eventually(lambda: all(each.status == "idle" for each in orchestrator.workers()))
        give_up(orchestrator)
        with Client() as client:
            for helm in (orchestrator, client):
                with pytest.raises(WorkersUnavailable, match="taken again after"):
                    start(helm, "total", "second", a=1)
        headers = {"Authorization": f"Bearer {server.token.value}"}
        with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False) as api:
            asked = {"message": {"text": "hello"}, "reply": False}
            for path, body in (("/runs", {"workflow": "total"}), ("/sessions/chat/ada", asked)):
                answer = api.post(path, json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "no_workers"), answer.text
            again = {"workflow": "total", "input": {"a": 1}, "id": "second"}
            eventually(lambda: api.post("/runs", json=again).status_code in {200, 201}, 4 * PAUSE)
        assert orchestrator.get("second").result(30) == 2
