"""The plugin as a user's pytest has it: found by its entry point, out of the way of who does not use it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow

APP = """
from greenroom import sleep, workflow

@workflow
async def sleeps(days: int) -> str:
    await sleep(days * 86_400)
    return "awake"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a folder of a user's, and beside it what installing the package would leave: metadata and a way to it."""
    site = tmp_path / "site"
    info = site / "greenroom-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greenroom\nVersion: 0\n")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    return folder


def run_pytest(project: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (project / "test_theirs.py").write_text(tests)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(project.parent / "site"), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-W", "error", "--strict-markers", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-rA", *arguments], cwd=project, env=env, capture_output=True, text=True, timeout=100, check=False
    )


def passed(done: subprocess.CompletedProcess[str], count: int) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{count} passed" in done.stdout


def test_the_fixtures_are_there_where_the_package_is_installed(project: Path) -> None:
    tests = """
from app import sleeps

def test_one(orchestrator, virtual_clock):
    assert orchestrator.start(sleeps, 30, id="same").result(30) == "awake"

def test_each_test_has_an_orchestrator_of_its_own(orchestrator):
    assert orchestrator.runs() == []
    assert orchestrator.start(sleeps, 7, id="same").result(30) == "awake"
"""
    assert passed(run_pytest(project, tests), 2)


def test_options_come_from_a_mark_before_the_overridden_fixture_before_the_defaults(project: Path) -> None:
    tests = """
from datetime import UTC, datetime
import pytest
from app import sleeps
from greenroom import Pool
from greenroom.testing import VirtualClock

@pytest.fixture
def virtual_clock():
    return VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))

@pytest.fixture
def orchestrator_options(tmp_path):
    return {"journal": tmp_path / "theirs.db", "pools": {"program": Pool(size=3)}}

def test_fixture(orchestrator, virtual_clock, tmp_path):
    orchestrator.start(sleeps, 30).result(30)
    assert virtual_clock.now() == datetime(2026, 1, 31, tzinfo=UTC)
    assert (tmp_path / "theirs.db").exists()

@pytest.mark.orchestrator(journal=":memory:")
class TestMarked:
    def test_mark(self, orchestrator, tmp_path):
        assert ":memory:" in repr(orchestrator)
        assert not (tmp_path / "theirs.db").exists()

    @pytest.mark.orchestrator(journal="nearest.db")
    def test_nearest_mark(self, orchestrator, tmp_path, monkeypatch):
        assert "nearest.db" in repr(orchestrator)
"""
    assert passed(run_pytest(project, tests), 3)


def test_a_mark_whose_options_have_no_names_is_refused(project: Path) -> None:
    tests = """
import pytest

@pytest.mark.orchestrator("theirs.db")
def test_marked(orchestrator):
    pass
"""
    done = run_pytest(project, tests)
    assert done.returncode == 1
    assert "takes options by name, such as clock=None, not 'theirs.db'" in done.stdout


def test_models_are_scripted_by_a_fixture(project: Path) -> None:
    tests = """
from greenroom import LLM, workflow

namer = LLM("namer")

@workflow
async def name() -> str:
    return await namer("A name, please.")

def test_reply(model_scripts, orchestrator):
    model_scripts.reply(namer, "Olga")
    assert orchestrator.start(name).result(30) == "Olga"
    assert [request.prompt for request in model_scripts.requests(namer)] == ["A name, please."]

def test_no_script(orchestrator):
    assert orchestrator.start(name).result(30) != "Olga"
"""
    assert passed(run_pytest(project, tests), 2)


def test_a_fixture_of_the_same_name_goes_before_ours(project: Path) -> None:
    (project / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef orchestrator():\n    return 'conducts an orchestra'\n"
    )
    tests = "def test_theirs(orchestrator):\n    assert orchestrator == 'conducts an orchestra'\n"
    assert passed(run_pytest(project, tests), 1)


def test_a_test_that_fails_leaves_no_process(project: Path) -> None:
    tests = """
from app import sleeps

def test_fails(orchestrator):
    orchestrator.start(sleeps, 0).result(30)
    print("PIDS", *(worker.pid for worker in orchestrator.workers()))
    raise RuntimeError("as it happens")
"""
    done = run_pytest(project, tests)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PIDS ")]
    pids = line.split()[1:]
    assert pids
    assert not [pid for pid in pids if Path("/proc", pid).exists()]


def test_who_does_not_use_it_pays_for_one_small_module(project: Path) -> None:
    tests = """
import sys

def test_nothing_is_loaded():
    ours = {name for name in sys.modules if name.partition(".")[0] == "greenroom"}
    assert ours == {"greenroom", "greenroom.version", "greenroom.testing", "greenroom.testing.plugin"}
    assert not {"pydantic", "pykka", "apsw", "loguru", "psutil"} & set(sys.modules)
"""
    assert passed(run_pytest(project, tests), 1)


def test_it_can_be_left_out(project: Path) -> None:
    done = run_pytest(project, "def test_it(orchestrator):\n    pass\n", "-p", "no:greenroom")
    assert "fixture 'orchestrator' not found" in done.stdout


def test_the_report_of_a_failed_run_shows_the_authors_line_and_none_of_ours(project: Path) -> None:
    code = "from greenroom import workflow\n\n@workflow\nasync def own() -> int:\n    return {}['colour']\n"
    (project / "wrong.py").write_text(code)
    tests = """
from wrong import own

def test_own(orchestrator):
    assert orchestrator.start(own).result(30) == 1
"""
    done = run_pytest(project, tests)
    assert done.returncode == 1
    report = done.stdout[done.stdout.index("FAILURES") : done.stdout.index("short test summary")]
    assert f'File "{project / "wrong.py"}", line 5, in own' in report
    assert "test_theirs.py:5:" in report
    for ours in ("handle.py", "waiting.py", "reads.py", "orchestrator.py"):
        assert ours not in report
