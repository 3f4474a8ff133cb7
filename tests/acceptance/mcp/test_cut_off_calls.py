"""Calls of an agent that are cut off by ``kill -9``: of the server, of its worker, and of the orchestrator.

What the server's own log holds is compared with what the model is told.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import Orchestrator
from greenroom.workflows.home.home import Home
from greenroom.workflows.queries.reader import JournalQueries
from tests.acceptance import harness
from tests.acceptance.kills.agents.test_agents import told
from tests.support import ROOT, eventually

pytest.importorskip("mcp")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SERVER = ROOT / "tests" / "acceptance" / "apps" / "mcp" / "mcp_server.py"


def write_app(folder: Path, tool: str) -> Path:
    """Write an app whose agent calls one tool of the server, and then answers."""
    path = folder / "app.py"
    arguments = json.dumps({"gate": str(folder / "gate")})
    path.write_text(
        textwrap.dedent(f"""
            from greenroom import LLM, mcp, workflow
            from tests.acceptance.apps.agents.agents import asks, model

            shop = mcp("shop", command={[sys.executable, str(SERVER), str(folder / "server.log")]!r}, timeout=60,
                       env=["{harness.MARK}"])
            buyer = LLM("buyer", tools=[shop], model=model(asks(({tool!r}, {arguments!r})), "I go on"))

            @workflow
            async def shopping() -> str:
                return await buyer("Buy it.")
        """)
    )
    return path


def calls(folder: Path, tool: str) -> list[dict[str, Any]]:
    log = folder / "server.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in map(json.loads, lines) if line["what"] == tool]


def has_begun(home: Path, tool: str) -> bool:
    with JournalQueries.open(Home(home)) as reads:
        return any(step.attempts for step in reads.steps("cut") if step.name == tool)


@pytest.mark.parametrize("victim", ["server", "worker", "orchestrator"])
@pytest.mark.parametrize("tool", ["look", "put", "pay"])
def test_a_call_that_is_cut_off_is_made_again_only_if_the_server_allows_it(victim, tool, tmp_path, mark):
    home = tmp_path / "home"
    command = [sys.executable, "-m", "greenroom", "--home", str(home), "run", f"{write_app(tmp_path, tool)}:shopping"]
    owner = subprocess.Popen(
        [*command, "--id", "cut"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        (call,) = eventually(lambda: calls(tmp_path, tool), 60.0, what="the call")
        server = call["pid"]
        eventually(lambda: has_begun(home, tool), 10.0, what="the record of the attempt's start")
        worker = psutil.Process(server).ppid()
        os.kill({"server": server, "worker": worker, "orchestrator": owner.pid}[victim], signal.SIGKILL)
        eventually(lambda: harness.is_over(server), 5.0, what="the end of the server")
        (tmp_path / "gate").touch()
        if victim != "orchestrator":
            assert owner.wait(60) == 0
    finally:
        owner.kill()
        owner.communicate()
    eventually(lambda: not harness.census(mark), 5.0, what="the end of all processes")

    with Orchestrator(home=home, output=False) as orchestrator:
        run = orchestrator.get("cut")
        assert run.result(60) == "I go on"
        ((text, failed),) = told(run)
        attempts = [attempt.outcome for step in run.steps() if step.name == tool for attempt in step.attempts]
    if tool == "pay":
        assert failed
        assert "its outcome is unknown: it may have taken effect, or not" in text
        assert len(calls(tmp_path, tool)) == 1
        assert attempts == ["crash"]
    else:
        assert (text, failed) == (f"{tool}: done", False)
        assert len(calls(tmp_path, tool)) == 2
        assert attempts == ["crash", "ok"]
