"""What the README says is run and compared: every block of code, every command, every promise's test, every link."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from greenroom.workflows.home.project import read_project

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^<!-- (\w+): (\S+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = {"command", "excerpt", "program", "output", "stderr", "shell", "tests", "serve", "curl", "client", "answer"}

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.timeout(120)]


@dataclass(frozen=True)
class Block:
    """A fenced block and the comment above it, which says how it is checked."""

    kind: str
    name: str
    text: str


BLOCKS = [Block(kind, name, text) for kind, name, _language, text in BLOCK.findall(README)]


def block(kind: str, name: str) -> str:
    (text,) = [found.text for found in BLOCKS if (found.kind, found.name) == (kind, name)]
    return text


def names(kind: str) -> list[str]:
    return [found.name for found in BLOCKS if found.kind == kind]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_every_block_says_how_it_is_checked():
    assert [found for found in BLOCKS if found.kind not in KINDS] == []
    assert len(BLOCKS) == README.count("\n```") / 2
    assert sorted(names("program")) == sorted(names("output"))


@pytest.mark.parametrize("name", names("program"))
def test_a_program_prints_what_stands_below_it(name, tmp_path):
    program = tmp_path / name
    program.write_text(block("program", name), encoding="utf-8")
    done = run(name, cwd=tmp_path)
    assert (done.stdout, done.returncode) == (block("output", name), 0), done.stderr


@pytest.mark.parametrize("name", names("stderr"))
def test_what_its_steps_print_is_on_stderr(name, tmp_path):
    (tmp_path / name).write_text(block("program", name), encoding="utf-8")
    assert run(name, cwd=tmp_path).stderr == block("stderr", name)


def test_the_first_program_gives_the_same_when_it_is_run_again(tmp_path):
    (tmp_path / "first.py").write_text(block("program", "first.py"), encoding="utf-8")
    assert run("first.py", cwd=tmp_path).stdout == run("first.py", cwd=tmp_path).stdout


@pytest.mark.parametrize("name", names("tests"))
def test_tests_pass_where_pytest_has_the_plugin(name, tmp_path):
    (tmp_path / name).write_text(block("tests", name), encoding="utf-8")
    options = ["-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-p", "greenroom.testing.plugin"]
    done = run("-m", "pytest", *options, name, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_of_a_project_is_read_as_it_stands(tmp_path):
    (tmp_path / "pyproject.toml").write_text(block("excerpt", "pyproject.toml"), encoding="utf-8")
    project = read_project(tmp_path)
    assert project.env == ["OPENAI_API_KEY", "LOG_LEVEL=debug"]
    assert project.import_timeout == 120.0


def normal(line: str) -> str:
    """Give a line without what differs from run to run: times, pids, ids, and which worker was free."""
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"demo-7-\w+", "RUN", line)).strip()


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


def test_the_commands_are_those_that_set_everything_up():
    assert sorted(names("command")) == ["check", "demo", "test"]
    for name in names("command"):
        command = block("command", name).strip()
        assert command.count("\n") == 0
        script = re.search(r"uv run (\S+) ", command)
        assert script is not None
        assert (ROOT / script.group(1)).is_file()
    assert "\ncheck: lint types test\n" in (ROOT / "justfile").read_text(encoding="utf-8")


def test_the_command_line_does_what_the_readme_types(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for line in block("shell", "look").splitlines():
        program, *arguments = line.split()
        assert program == "greenroom"
        done = run("-m", "greenroom", *arguments, cwd=tmp_path)
        assert done.returncode == 0, line + done.stderr
        if "json" in arguments:
            assert json.loads(done.stdout)


@pytest.fixture
def served(tmp_path):
    """Give the url of what the README serves, from a folder as it has it, on a port of the test's own."""
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


def test_every_verb_is_one_of_the_command_line():
    table = README.partition("| verb | does |")[2].partition("\n\n")[0]
    verbs = [verb.split()[:2] for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for verb in code(cell)]
    assert len(verbs) > 10
    for verb in verbs:
        words = verb if verb[0] in {"runs", "actors", "approvals"} else verb[:1]
        done = run("-m", "greenroom", *words, "--help", cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Usage: greenroom {' '.join(words)}")


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_promise_names_a_test_that_exists():
    promised = re.findall(r"^\| .+ \| `(tests/\S+)::(test_\w+)` \|$", README, re.MULTILINE)
    assert len(promised) >= 8
    for path, name in promised:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


@pytest.mark.parametrize("document", ["README.md", "docs/ARCHITECTURE.md", "benchmarks/README.md"])
def test_every_link_into_the_tree_leads_somewhere(document):
    path = ROOT / document
    links = re.findall(r"\]\((?!https://)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("document", ["README.md", "docs/ARCHITECTURE.md"])
def test_every_file_that_is_named_exists(document):
    named = re.findall(r"`((?:[a-z_]+/)+[A-Za-z_.0-9]*)`", (ROOT / document).read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_folders_of_the_tree_are_the_ones_that_are_told_of():
    table = README.partition("| folder | holds |")[2].partition("\n\n")[0]
    told = {name.strip("/") for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for name in code(cell)}
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py")) and path.name[0] != "."}
    assert told - {"docs"} == found - {"build", "dist"}


def test_the_benchmarks_measure_and_write_what_they_found(tmp_path):
    figures = ["--rounds", "1", "--only", "import", "--only", "step-process", "--directory", str(tmp_path)]
    done = run(str(ROOT / "benchmarks" / "run.py"), *figures, cwd=tmp_path)
    assert done.returncode in {0, 1}, done.stderr  # a target may be missed on a busy machine
    found = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert [line["name"] for line in found["figures"]] == ["import", "step-process"]
    assert all(line["measured"] > 0 and line["floor"] > 0 for line in found["figures"])
