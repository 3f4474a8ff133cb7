"""An orchestrator that runs an agent is killed at every event of the run: the same answer, and no completed call again."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")

from tests.acceptance.apps.effects import effects
from tests.acceptance.harness import MARK, census, read_journal
from tests.integrations.test_durable_agents import KEYS
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Mark every process that the test starts."""
    monkeypatch.setenv(MARK, f"{tmp_path}/")
    return f"{tmp_path}/"


def live(folder: Path, count: int, *fatal: int) -> subprocess.CompletedProcess[str]:
    """Run one life of an orchestrator in a folder."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.integrations.apps.owner", str(folder), str(count), *map(str, fatal)]
    environment = os.environ | {"AGENTS_LOG": str(folder / "effects.log")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def counts(folder: Path) -> Counter[tuple[str, str]]:
    """Count the effects of each call."""
    return Counter((line["run"], line["step"]) for line in effects(folder / "effects.log"))


def test_killed_at_every_event_the_agent_gives_the_same_answer_and_repeats_no_completed_call(
    tmp_path: Path, mark: str
) -> None:
    """Run n is cut off at its event n. The life that follows completes it, and is ended by the next run."""
    whole = live(tmp_path / "whole", 1)
    assert whole.returncode == 0, whole.stderr
    told = json.loads(whole.stdout)
    assert told["results"] == ["found otters | 2 | found seals"]
    folder = tmp_path / "swept"
    finished: dict[tuple[str, str], int] = {}
    for event in range(1, told["last"]):
        killed = live(folder, event, event)
        assert killed.returncode == -signal.SIGKILL, f"event {event}: {killed.stdout}{killed.stderr}"
        eventually(lambda: not census(mark), what="the end of its processes")
        logs = read_journal(folder / "runs.db")
        so_far = counts(folder)
        done = {(run, key) for run, log in logs.items() for key in log.completed()}
        finished |= {call: so_far[call] for call in done - finished.keys()}
    last = live(folder, told["last"])
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["results"] == told["results"] * told["last"]
    final = counts(folder)
    assert set(final) == {(f"swept-{number}", key) for number in range(1, told["last"] + 1) for key in KEYS}
    assert len(finished) > told["last"]
    assert {call: final[call] for call in finished} == finished
