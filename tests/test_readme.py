"""What pages say with code is run and compared: every program, command, test, request and excerpt in them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.workflows.home.project import read_project
from tests.pages import ROOT, block, names

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("home"), pytest.mark.timeout(120)]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("name", names("output"))
def test_a_program_prints_what_stands_below_it(name, tmp_path):
    program = tmp_path / name
    program.write_text(block("program", name), encoding="utf-8")
    for beside in names("file"):
        (tmp_path / beside).write_text(block("file", beside), encoding="utf-8")
    done = run(name, cwd=tmp_path)
    assert (done.stdout, done.returncode) == (block("output", name), 0), done.stderr


@pytest.mark.parametrize("name", names("stderr"))
def test_what_its_steps_print_is_on_stderr(name, tmp_path):
    (tmp_path / name).write_text(block("program", name), encoding="utf-8")
    assert run(name, cwd=tmp_path).stderr == block("stderr", name)


def test_the_first_program_gives_the_same_when_it_is_run_again(tmp_path):
    (tmp_path / "first.py").write_text(block("program", "first.py"), encoding="utf-8")
    assert run("first.py", cwd=tmp_path).stdout == run("first.py", cwd=tmp_path).stdout


@pytest.fixture
def failed(request, tmp_path) -> str:
    """Run a program that fails for good; return what it printed on stderr."""
    (tmp_path / request.param).write_text(block("program", request.param), encoding="utf-8")
    done = run(request.param, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.parametrize(("failed", "name"), [(name, name) for name in names("traceback")], indirect=["failed"])
def test_a_program_that_fails_prints_the_traceback_below_it(failed, name, tmp_path):
    printed = iter(failed.replace(str(tmp_path), "/home/ada").splitlines())
    assert [line for line in block("traceback", name).splitlines() if line not in printed] == []


@pytest.mark.parametrize(("failed", "name"), [(name, name) for name in names("after")], indirect=["failed"])
@pytest.mark.usefixtures("failed")
def test_what_a_failed_program_leaves_is_shown_as_it_stands(name, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # the path of the test's folder is long
    done = run("-m", *block("after", name).split(), cwd=tmp_path)
    shown = [normal(line) for line in done.stdout.replace(str(tmp_path), "/home/ada").splitlines()]
    expected = [normal(line) for line in block("shown", name).splitlines()]
    assert expected in [shown[first : first + len(expected)] for first in range(len(shown))], done.stdout


@pytest.mark.parametrize("name", names("tests"))
def test_tests_pass_where_pytest_has_the_plugin(name, tmp_path):
    (tmp_path / name).write_text(block("tests", name), encoding="utf-8")
    options = ["-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-p", "greenroom.testing.plugin"]
    done = run("-m", "pytest", *options, name, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_excerpt_is_compared():
    assert sorted(names("excerpt")) == ["demo", "pyproject.toml"]


def test_the_table_of_a_project_is_read_as_it_stands(tmp_path):
    (tmp_path / "pyproject.toml").write_text(block("excerpt", "pyproject.toml"), encoding="utf-8")
    project = read_project(tmp_path)
    assert project.env == ["OPENAI_API_KEY", "LOG_LEVEL=debug"]
    assert project.import_timeout == 120.0


def normal(line: str) -> str:
    """Return a line without what differs from run to run: times, pids, ids, and which worker was free."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "N", re.sub(r"demo-7-\w+", "RUN", line)).split())


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> str:
    place = tmp_path_factory.mktemp("demo")
    done = run(str(ROOT / "main.py"), "--home", str(place / "home"), "demo", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_says_what_the_excerpt_shows(demo):
    told = {normal(line) for line in demo.splitlines()}
    assert [line for line in block("excerpt", "demo").splitlines() if normal(line) not in told] == []


def test_the_demo_ends_with_the_counts_of_the_excerpt(demo):
    def counts(text: str) -> str:
        return text.strip().splitlines()[-1].partition(" s: ")[2]

    assert counts(demo) == counts(block("excerpt", "demo"))


def test_the_commands_are_one_line_each_and_name_what_exists():
    commands = {name: block("command", name) for name in names("command")}
    assert sorted(commands) == ["check", "demo", "install", "test"]
    for command in commands.values():
        assert command.count("\n") == 1
        assert [name for name in re.findall(r"\b[\w.]+\.(?:py|lock)\b", command) if not (ROOT / name).is_file()] == []
    recipe = commands["check"].split()[-1]
    assert f"\n{recipe}: lint types test\n" in (ROOT / "justfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names("shell"))
def test_the_command_line_does_what_is_typed(name, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for line in block("shell", name).splitlines():
        program, *arguments = line.split()
        assert program == "greenroom"
        done = run("-m", "greenroom", *arguments, cwd=tmp_path)
        assert done.returncode == 0, line + done.stderr
        if "json" in arguments:
            assert json.loads(done.stdout)


@pytest.fixture
def served(tmp_path):
    """Return the URL of what the page serves, from a folder that has the examples, on a free port."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program, *arguments = block("serve", "crashing").split()
    assert program == "greenroom"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GREENROOM_HOME": str(tmp_path / ".greenroom")}
    command = [sys.executable, "-m", "greenroom", *arguments, "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.send_signal(signal.SIGINT)
    assert server.returncode == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_what_is_served_is_reached_with_curl(served, tmp_path):
    (line,) = [block("curl", name) for name in names("curl")]
    script = line.replace("http://127.0.0.1:7878", served)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["workflow"] == "squares", done.stderr


def test_what_is_served_is_reached_with_the_client(served, tmp_path, monkeypatch):
    monkeypatch.setenv("GREENROOM_HOME", str(tmp_path / ".greenroom"))
    (name,) = names("client")
    (tmp_path / name).write_text(block("client", name), encoding="utf-8")
    done = run(name, cwd=tmp_path)
    assert (done.stdout, done.returncode) == (block("answer", name), 0), done.stderr


def test_the_benchmarks_measure_and_write_what_they_found(tmp_path):
    figures = ["--rounds", "1", "--only", "import", "--only", "step-process", "--directory", str(tmp_path)]
    done = run(str(ROOT / "benchmarks" / "run.py"), *figures, cwd=tmp_path)
    assert done.returncode in {0, 1}, done.stderr  # a target may be missed on a busy machine
    found = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert [line["name"] for line in found["figures"]] == ["import", "step-process"]
    assert all(line["measured"] > 0 and line["floor"] > 0 for line in found["figures"])
