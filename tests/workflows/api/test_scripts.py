"""Plain scripts that embed an orchestrator, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPT = """
import os
import sys

from greenroom import Orchestrator, tool, workflow

place, word = sys.argv[1:]  # read on the way to the definitions, in workers too

@tool
def shout() -> str:
    return word.upper()

@tool
def order() -> list[str]:
    return list({"a", "b", "c", "d", "e", "f"})

@workflow
async def greet() -> tuple[str, list[list[str]]]:
    return await shout(), [list({"a", "b", "c", "d", "e", "f"}), await order()]

with Orchestrator(place) as orchestrator:
    word, orders = orchestrator.start(greet).result(timeout=30)
    print(word, orders[0] == orders[1], os.getpid())
"""


def run_script(path: Path, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        env=environ,
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_without_a_main_guard_has_its_arguments_in_workers_too(tmp_path: Path) -> None:
    script = tmp_path / "greet.py"
    script.write_text(SCRIPT)
    lines = run_script(script, str(tmp_path / "runs.db"), "hello").splitlines()
    assert len(lines) == 1, "what follows the orchestrator runs in the script's own process alone"
    assert lines[0].startswith("HELLO ")


def test_sets_are_gone_through_in_the_same_order_by_every_process_of_every_orchestrator(tmp_path: Path) -> None:
    script = tmp_path / "greet.py"
    script.write_text(SCRIPT)
    for place in ("one.db", "two.db"):
        assert run_script(script, str(tmp_path / place), "x").split()[1] == "True"


def test_an_app_that_cannot_be_imported_is_told_with_the_users_own_traceback_alone(tmp_path: Path) -> None:
    broken = tmp_path / "app.py"
    broken.write_text("from greenroom import workflow\n\n@workflow\nasync def w() -> int: ...\n\n1 / 0\n")
    code = (
        "import sys; from greenroom import Orchestrator, InvalidInput\n"
        f"with Orchestrator({str(tmp_path / 'runs.db')!r}) as o:\n"
        "    try: o.start_app(sys.argv[1], 'w', {})\n"
        "    except InvalidInput as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(broken)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "cannot be imported: ZeroDivisionError" in told
    assert 'app.py", line 6' in told
    assert "greenroom/" not in told


UNTIDY = """
import os
import signal
import sys
import tempfile
import time

from greenroom import Orchestrator, Pool, Retry, tool, workflow

place, how = sys.argv[1:]

@tool
def spoil() -> int:
    match how:
        case "folder":
            os.chdir(tempfile.mkdtemp(dir=os.getcwd()))
            os.rmdir(os.getcwd())
        case "mask":
            os.umask(0o777)
        case "alarm":
            signal.setitimer(signal.ITIMER_REAL, 0.2)
        case "closed":
            os.closerange(0, 3)
        case "redirected":
            os.dup2(os.open(os.devnull, os.O_RDONLY), 1)
    return os.getpid()

@tool(retry=Retry(attempts=1))
def look() -> tuple[int, str, int, list[int]]:
    sys.stdin.read()
    print("to see that it can be written to", flush=True)
    print("and this too", file=sys.stderr, flush=True)
    time.sleep(0.4)
    mask = os.umask(0o022)
    os.umask(mask)
    return os.getpid(), os.getcwd(), mask, [os.fstat(number).st_ino for number in range(3)]

@workflow
async def before_and_after() -> tuple[bool, bool]:
    before = await look()
    spoiled = await spoil()
    after = await look()
    return before[0] == spoiled == after[0], before == after

with Orchestrator(place, pools={"tool": Pool(size=1)}) as orchestrator:
    print(*orchestrator.start(before_and_after).result(timeout=30))
"""


@pytest.mark.parametrize("how", ["folder", "mask", "alarm", "closed", "redirected"])
def test_what_a_step_changes_about_its_worker_is_put_back_for_the_next(tmp_path: Path, how: str) -> None:
    script = tmp_path / "untidy.py"
    script.write_text(UNTIDY)
    assert run_script(script, str(tmp_path / "runs.db"), how) == "True True\n"


TALKING = """
import os
import sys

from greenroom import Orchestrator, Pool, Retry, tool, workflow

place, = sys.argv[1:]

@tool
def whisper() -> int:
    print("a secret of another step", file=sys.stderr, flush=True)
    return os.getpid()

@tool(retry=Retry(attempts=1))
def die() -> None:
    print("the last words", file=sys.stderr, flush=True)
    os._exit(3)

@workflow
async def talk(fatally: bool) -> int:
    return await (die() if fatally else whisper()) or 0

with Orchestrator(place, pools={"tool": Pool(size=1)}) as orchestrator:
    before = orchestrator.start(talk, False).result(timeout=30)
    run = orchestrator.start(talk, True)
    for _ in run.events(follow=True):
        pass
    attempt = run.steps()[0].attempts[0]
    print(attempt.pid == before, attempt.exit.stderr.splitlines())
"""


def test_the_stderr_of_a_crash_is_that_of_the_attempt_and_of_no_other(tmp_path: Path) -> None:
    script = tmp_path / "talking.py"
    script.write_text(TALKING)
    assert run_script(script, str(tmp_path / "runs.db")) == "True ['the last words']\n"
