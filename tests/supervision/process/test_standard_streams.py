"""A process that was started without stdin, stdout or stderr opens nothing of value in their place."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPT = """
import os
from greenroom import Orchestrator, tool, workflow

@tool
def say(text: str) -> str:
    os.write(1, text.encode())
    os.write(2, text.encode())
    return text

@workflow
async def flow() -> str:
    return await say("heard")

with Orchestrator("runs.db", output=False) as orchestrator:
    result = orchestrator.start(flow).result(60)
    with open("told", "w") as told:
        told.write(" ".join([result, *(os.readlink(f"/proc/self/fd/{each}") for each in range(3))]))
"""


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_neither_a_lock_nor_the_journal_is_opened_as_a_standard_stream(tmp_path: Path, closed: tuple[int, ...]) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    closing = " ".join(f"{each}>&-" for each in closed)
    subprocess.run(
        ["sh", "-c", f'exec "$0" script.py {closing}', sys.executable],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=100,
        check=True,
    )
    assert (tmp_path / "told").read_text() == "heard /dev/null /dev/null /dev/null"


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("verb", "code"), [("runs list", 0), ("runs show nobody", 3), ("bogus", 2)])
def test_a_command_without_them_ends_as_it_would_with_them(tmp_path: Path, closing: str, verb: str, code: int) -> None:
    command = f'exec "$0" {ROOT / "main.py"} {verb} {closing}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert b"an error of greenroom itself" not in done.stderr


@pytest.mark.parametrize("verb", ["runs list -o json", "version", "--help"])
def test_a_command_whose_output_fills_a_disk_says_that_it_is_the_output(tmp_path: Path, verb: str) -> None:
    command = f'exec "$0" {ROOT / "main.py"} {verb} >/dev/full'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "what the command prints cannot be written (No space left on device): send it" in done.stderr
