"""What holds calls back, a provider's pause or an open breaker, does so after a kill of the orchestrator as well."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from greenroom import Orchestrator
from greenroom.dashboard.server import Server
from tests.acceptance import harness
from tests.acceptance.apps.models import held
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def answer(*words: str) -> Any:
    command = [sys.executable, ROOT / "main.py", *words, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return json.loads(done.stdout)


def examined() -> dict[str, tuple[str, str]]:
    return {each["check"]: (each["state"], each["found"]) for each in answer("doctor")}


def test_the_next_orchestrator_holds_back_what_was_held_back_and_doctor_shows_it(home, mark, tmp_path):
    owner = subprocess.Popen([sys.executable, "-m", "tests.acceptance.apps.models.held", str(tmp_path)])
    try:
        eventually((tmp_path / "holding").exists, 90)
    finally:
        owner.kill()
        owner.wait()
    found = examined()
    assert found["model limited"][0] == found["tool down"][0] == "warn"
    assert "the provider asked to wait for 5" in found["model limited"][1]
    assert "its breaker is open and lets a call through in 5" in found["tool down"][1]
    asked = sorted((tmp_path / "log").read_text().splitlines())
    assert asked == ["model", "tool", "tool"]
    opened = Orchestrator(tmp_path / "runs.db", home=home, pools=harness.pools(), breakers=held.BREAKERS)
    with opened as orchestrator, Server(orchestrator, [held.asks.definition.app], port=0) as server:
        assert {gate.name: gate.status for gate in orchestrator.metrics().gates} == {"limited": "held", "down": "open"}
        headers = {"Authorization": f"Bearer {server.token.value}"}
        text = httpx.get(f"{server.url}/metrics", headers=headers, trust_env=False).text
        assert 'greenroom_gate_status{kind="model",name="limited",status="held"} 1.0' in text
        assert 'greenroom_gate_status{kind="tool",name="down",status="open"} 1.0' in text
        run = orchestrator.start(held.asks, str(tmp_path), id="second")
        eventually(lambda: len(run.steps()) == 2, 30)
        waiting = [gate.detail for gate in orchestrator.metrics().gates]
        assert all("0 running, 1 waiting" in each for each in waiting), waiting
        assert sorted((tmp_path / "log").read_text().splitlines()) == asked, "nobody was asked again"
        model, down = answer("runs", "show", "second")["waits_for"]
        assert model.startswith("the model limited, for 1/limited#1: the provider asked to wait for 5")
        assert down.startswith("the tool down, for 2/down#1: its breaker is open and lets a call through in 5")
        run.cancel(within=0)


def test_nothing_is_held_back_where_nothing_was(home, mark, tmp_path):
    assert examined()["calls"] == ("ok", "no model or tool is held back")
