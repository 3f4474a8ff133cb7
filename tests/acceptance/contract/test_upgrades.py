"""An orchestrator whose package is upgraded on disk while it runs says so, and blames no app for what follows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import greenroom
from tests.acceptance.apps.kills import stranded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

UPGRADED = """
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

import flows
import greenroom.messages
from greenroom import Orchestrator, Pool

pools = {kind: Pool(size=1, backend=sys.argv[1]) for kind in ("program", "tool")}
with Orchestrator("runs.db", output=False, pools=pools) as orchestrator:
    before = orchestrator.start(flows.loud, "before").result(30)
    with (Path(greenroom.messages.__file__).parent / "ids.py").open("a") as file:
        file.write("# another version\\n")
    killed = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended with its zygote
            if process.name().startswith(("greenroom-zyg", "greenroom-pro", "greenroom-too")):
                killed.append(process)
                process.kill()
    psutil.wait_procs(killed)
    run = orchestrator.start(flows.loud, "after", id="after")
    end = time.monotonic() + 30
    while "Start the orchestrator again" not in (run.record.reason or "") and time.monotonic() < end:
        time.sleep(0.05)
    show = [sys.executable, "-P", "-m", "greenroom", "runs", "show", "after", "-o", "json", "--journal", "runs.db"]
    shown = json.loads(subprocess.run(show, capture_output=True, check=True).stdout)["reason"]
    print(json.dumps([before, run.status, run.record.reason, run.record.failure is None, shown]))
"""

STARTED_AGAIN = """
from greenroom import Orchestrator

with Orchestrator("runs.db", output=False) as orchestrator:
    print(orchestrator.get("after").result(30))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give the variables of processes that import a copy of the package, which they may change."""
    source = Path(greenroom.__file__).parent
    shutil.copytree(source, tmp_path / "site" / "greenroom", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(stranded.__file__, tmp_path / "flows.py")
    return {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{tmp_path}", "GREENROOM_HOME": str(tmp_path / "home")}


def python(code: str, environment: dict[str, str], folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_workers_of_another_version_are_refused_with_the_reason_and_the_next_orchestrator_goes_on(
    environment: dict[str, str], tmp_path: Path, backend: str
) -> None:
    before, status, reason, unharmed, shown = json.loads(python(UPGRADED, environment, tmp_path, backend))
    assert before == "BEFORE"
    assert "greenroom was upgraded or edited on disk since this orchestrator started" in reason
    assert status in {"pending", "running", "waiting", "parked"}
    assert unharmed
    assert "greenroom was upgraded or edited on disk since this orchestrator started" in shown
    assert python(STARTED_AGAIN, environment, tmp_path) == "AFTER"
