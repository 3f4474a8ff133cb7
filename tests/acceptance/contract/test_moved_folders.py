"""A script's folder that was moved with its journal: its runs go on with a link in the old place, as they are told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SCRIPT = """
import os

from greenroom import Orchestrator, receive, workflow
from pydantic import BaseModel


class Answer(BaseModel):
    word: str


@workflow
async def riddle() -> str:
    return (await receive(Answer)).word


with Orchestrator("runs.db") as orchestrator:
    orchestrator.start(riddle, id="riddle").signal(Answer(word="an otter"), key="once")
    os.kill(os.getpid(), 9)
"""


def test_a_run_whose_script_was_moved_is_parked_and_goes_on_with_the_link_that_it_asks_for(tmp_path: Path, mark: str):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "prog.py").write_text(SCRIPT)
    there = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    started = subprocess.run([sys.executable, str(old / "prog.py")], cwd=old, env=there, check=False, timeout=60)
    assert started.returncode == -9
    old.rename(new)
    go_on = [sys.executable, "-P", "-m", "greenroom", "--journal", "runs.db", "run", "--id", "riddle"]
    parked = subprocess.run(go_on, cwd=new, env=there, capture_output=True, text=True, check=False, timeout=60)
    assert f"{old}/prog.py cannot be imported: there is no such file; put it back, or a link" in parked.stderr
    old.symlink_to(new)
    ended = subprocess.run(go_on, cwd=new, env=there, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, '"an otter"\n'), ended.stderr
