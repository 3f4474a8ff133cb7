"""The example of a durable agent: with its script, and with a provider's model while its processes are killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import ROOT

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")
pytest.importorskip("openai", reason="pip install 'greenroom[openai]'")

from greenroom import Orchestrator, Pool
from greenroom.testing import kill, wait_for
from tests.integrations.provider import Provider
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXAMPLE = ROOT / "examples" / "pydantic_agent.py"
QUESTION = "My order A17 arrived broken."
STEPS = [
    "support#1/model#1",
    "support#1/find_order[call-1]#1",
    "support#1/model#2",
    "support#1/refund[call-2]#1",
    "support#1/model#3",
]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the model of the example."""
    monkeypatch.setenv("GREENROOM_MODEL", "openai-chat:m")


def refunds(folder: Path) -> list[str]:
    """Give the refunds that were paid, without the keys."""
    return [line.split(maxsplit=1)[1] for line in (folder / "refunds.log").read_text().splitlines()]


def run_by_hand(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_example_runs_with_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GREENROOM_MODEL", raising=False)
    done = run_by_hand(tmp_path, str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    answer, *steps = done.stdout.splitlines()
    assert answer == "I am sorry. 30.00 dollars for order A17 are on their way."
    assert [line.split()[0] for line in steps] == STEPS
    assert refunds(tmp_path) == ["A17 30.00"]
    again = run_by_hand(tmp_path, "-m", "greenroom", "run", f"{EXAMPLE}:support", "-i", f"question={QUESTION}")
    assert json.loads(again.stdout) == answer


@pytest.mark.parametrize("victim", ["program", "llm"])
def test_killed_while_the_provider_thinks_no_other_request_is_made_again(
    victim: str, provider: Provider, tmp_path: Path
) -> None:
    provider.held = {1}
    with Orchestrator(home=tmp_path / "home", pools={"llm": Pool(size=1), "program": Pool(size=1)}) as orchestrator:
        run = orchestrator.start(example().support, QUESTION)
        assert provider.waits.acquire(timeout=60)
        if victim == "program":
            assert kill(run) is True
        else:
            kill(run, "support#1/model#2")
            assert provider.waits.acquire(timeout=60)  # it was asked again
        provider.go.set()
        assert run.result(timeout=60) == "I am sorry. 30.00 dollars for order A17 are on their way."
        outcomes = {step.key: [attempt.outcome for attempt in step.attempts] for step in run.steps()}
    assert outcomes == {key: ["ok"] for key in STEPS} | (
        {"support#1/model#2": ["crash", "ok"]} if victim == "llm" else {}
    )
    assert provider.requests == ([0, 1, 2] if victim == "program" else [0, 1, 1, 2])
    assert refunds(tmp_path) == ["A17 30.00"]


def test_a_killed_tool_pays_once_and_no_request_is_made_again(provider: Provider, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "refunds.log")  # whoever writes waits for a reader
    with Orchestrator(home=tmp_path / "home") as orchestrator:
        run = orchestrator.start(example().support, QUESTION)
        kill(run, "support#1/refund[call-2]#1", timeout=60)
        wait_for(run, lambda _: len(run.steps()[3].attempts) == 2, timeout=30)
        paid = (tmp_path / "refunds.log").read_text()
        run.result(timeout=60)
        outcomes = {step.key: [attempt.outcome for attempt in step.attempts] for step in run.steps()}
    assert outcomes == {key: ["ok"] for key in STEPS} | {"support#1/refund[call-2]#1": ["crash", "ok"]}
    assert provider.requests == [0, 1, 2]
    assert paid == f"{run.id}/support#1/refund[call-2]#1 A17 30.00\n"


def test_a_killed_orchestrator_goes_on_where_it_was(provider: Provider, tmp_path: Path) -> None:
    provider.held = {2}
    command = [sys.executable, "-m", "greenroom", "--home", str(tmp_path / "home"), "run", f"{EXAMPLE}:support"]
    command += ["-i", f"question={QUESTION}", "--id", "a17"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as first:
        assert provider.waits.acquire(timeout=60)
        family = psutil.Process(first.pid).children(recursive=True)
        first.send_signal(signal.SIGKILL)
    eventually(lambda: not any(process.is_running() for process in family), what="the end of its processes")
    provider.go.set()
    again = run_by_hand(tmp_path, *command[1:])
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == "I am sorry. 30.00 dollars for order A17 are on their way."
    assert provider.requests == [0, 1, 2, 2]
    assert refunds(tmp_path) == ["A17 30.00"]
    shown = run_by_hand(tmp_path, *command[1:5], "-o", "json", "runs", "show", "a17")
    steps = {step["key"]: len(step["attempts"]) for step in json.loads(shown.stdout)["steps"]}
    assert {key: many for key, many in steps.items() if many > 1} == {"support#1/model#3": 2}


def example() -> Any:
    """Import the example as a script would be: by its path, in this process."""
    import importlib.util  # noqa: PLC0415  used here alone

    spec = importlib.util.spec_from_file_location("pydantic_agent", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
