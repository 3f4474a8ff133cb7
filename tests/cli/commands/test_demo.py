"""The show: its faults are real, and its last line is counted, not claimed."""

import json
import time

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow


def test_the_demo_survives_a_kill_a_hang_and_a_broken_answer(greenroom: CommandLine) -> None:
    started = time.monotonic()
    answer = greenroom("demo")
    assert time.monotonic() - started < 15
    assert "kill -9" in answer.out
    last = answer.out.splitlines()[-1]
    assert "3 faults injected, 3 recovered, 0 steps lost, 0 effects repeated" in last


def test_the_demos_faults_are_three_different_outcomes_in_the_journal(greenroom: CommandLine) -> None:
    outcome = greenroom.result_of("demo", "-o", "json", "--seed", "11")
    home = str(greenroom.home / "demo")
    shown = greenroom.result_of("--home", home, "runs", "show", outcome["run_id"], "-o", "json")
    attempts = [attempt for step in shown["steps"] for attempt in step["attempts"]]
    assert len(attempts) == outcome["attempts"]
    assert sorted(attempt["outcome"] for attempt in attempts if attempt["outcome"] != "ok") == [
        "crash",
        "invalid",
        "timeout",
    ]
    (killed,) = [attempt for attempt in attempts if attempt["outcome"] == "crash"]
    assert killed["exit"]["signal"] == "SIGKILL"
    assert killed["exit"]["injected"]


def test_the_demo_survives_the_kill_of_its_orchestrator(greenroom: CommandLine) -> None:
    answer = greenroom("demo", "--kill-orchestrator", "-o", "json")
    outcome = json.loads(answer.out)
    assert outcome["lost"] == outcome["repeated"] == 0
    assert outcome["faults"] == outcome["recovered"] > 0
    assert "0 ran again" in answer.err
    assert "Traceback" not in (greenroom.home / "demo" / f"{outcome['run_id']}.log").read_text()
