"""The recipes of docs/other_agents.md, run in an environment of their own with the libraries that they are for."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.integrations.environments import ROOT, environment
from tests.integrations.provider import Provider
from tests.pages import block
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an interpreter that has the libraries of the recipes."""
    return environment(tmp_path_factory.mktemp("recipes"), "openai-agents>=0.24,<1", "langgraph>=1.2,<2")


def recipe(name: str, folder: Path) -> Path:
    """Write a recipe into a folder."""
    path = folder / name
    path.write_text(block("recipe", name), encoding="utf-8")
    return path


def test_the_recipe_for_openai_agents_survives_its_orchestrator(
    python: Path, provider: Provider, tmp_path: Path
) -> None:
    provider.held = {1}
    script = recipe("agents_sdk.py", tmp_path)
    command = [str(python), str(script)]
    surroundings = os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "of no worth"}
    with subprocess.Popen(command, cwd=tmp_path, env=surroundings, stderr=subprocess.PIPE, text=True) as first:
        assert provider.waits.acquire(timeout=90), first.poll()
        family = psutil.Process(first.pid).children(recursive=True)
        first.send_signal(signal.SIGKILL)
    eventually(lambda: not any(process.is_running() for process in family), what="the end of its processes")
    provider.go.set()
    done = subprocess.run(
        command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout == "I am sorry. 30.00 dollars for order A17 are on their way.\n", done.stderr
    assert provider.requests == [0, 1, 1, 2]
    again = subprocess.run(
        command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=90, check=False
    )
    assert again.stdout == done.stdout
    assert provider.requests == [0, 1, 1, 2]


DRIVER = """
import os
from greenroom import Orchestrator
from greenroom.testing import kill, wait_for
import lang_graph

os.mkfifo("gate")
with Orchestrator(home="home") as orchestrator:
    run = orchestrator.start(lang_graph.research, "otters")
    kill(run, "search", timeout=60)
    wait_for(run, lambda _: len(run.steps()[0].attempts) == 2, timeout=30)
    assert kill(run)
    open("gate", "w").close()
    print(run.result(timeout=60))
    print([(step.name, [attempt.outcome for attempt in step.attempts]) for step in run.steps()])
"""


def test_the_recipe_for_langgraph_survives_its_program_and_its_tool(python: Path, tmp_path: Path) -> None:
    script = recipe("lang_graph.py", tmp_path)
    surroundings = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}", "GREENROOM_MODEL": "mock"}
    plain = subprocess.run(
        [str(python), str(script)],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    answer, *steps = plain.stdout.splitlines()
    assert steps == ["search completed", "writer completed"], plain.stderr
    old = 'return [f"a page about {question}"]'
    script.write_text(script.read_text().replace(old, f'open("gate").read()\n    {old}'))
    killed = subprocess.run(
        [str(python), "-c", DRIVER],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.stdout.splitlines() == [answer, "[('search', ['crash', 'ok']), ('writer', ['ok'])]"], killed.stderr
