"""Plain scripts that embed an orchestrator, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import os
import sys

from understudy import Orchestrator, tool, workflow

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
    broken.write_text("from understudy import workflow\n\n@workflow\nasync def w() -> int: ...\n\n1 / 0\n")
    code = (
        "import sys; from understudy import Orchestrator, InvalidInput\n"
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
    assert "understudy/" not in told
