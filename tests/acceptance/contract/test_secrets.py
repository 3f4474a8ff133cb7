"""A planted secret is where it was given to, and nowhere else: as an ordinary user, whom the kernel stops."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.apps.contract.secretive import PREFIX
from tests.support import ROOT, is_in_memory

pytestmark = pytest.mark.slow

NOBODY = 65534
BACKENDS = ["zygote", "spawn"]


@dataclass(frozen=True)
class Planted:
    """Two secrets and a home."""

    home: Path
    llm: str
    tool: str

    def run(self, name: str, *arguments: str, backend: str = "zygote", common: str = "") -> dict[str, Any]:
        """Run a workflow of ``secretive`` as an ordinary user, and look for the secrets in all that is left of it."""
        environ = os.environ | {
            "PLANTED_LLM": self.llm,
            "PLANTED_TOOL": self.tool,
            "LC_PLANTED": self.llm,
            "PYTHON_PLANTED": self.tool,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "TMPDIR": str(self.home.parent),
        }
        command = [sys.executable, "-m", "tests.acceptance.secretive_script", str(self.home), backend, common, name]
        command = [*_opened(self.home.parent / "open"), *command, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=100)
        if "unshare: " in done.stderr:
            pytest.skip("the interpreter lies where an ordinary user cannot reach it, and nothing may be mounted here")
        assert done.returncode == 0, done.stderr
        facts, dumpable = done.stdout.splitlines()
        assert json.loads(dumpable) == [True, False, True]
        for secret in (self.llm, self.tool):
            assert secret not in done.stdout
            assert secret not in done.stderr
            for file in self.home.rglob("*"):
                if file.is_file():
                    assert secret.encode() not in file.read_bytes(), file
        found: dict[str, Any] = json.loads(facts)
        return found


def _opened(substitute: Path) -> list[str]:
    """Give a command that runs another with the interpreter where everybody can reach it, such as one below /root."""
    place = Path(sys.executable).resolve()
    closed = [each for each in place.parents if not each.stat().st_mode & 0o001]
    if os.geteuid() != 0 or not closed:
        return []
    substitute.mkdir()
    substitute.chmod(0o755)
    inside = str(Path(sys.base_prefix).resolve().relative_to(closed[-1]))
    script = (
        'mkdir -p "$1/$3" && mount --bind "$2/$3" "$1/$3" && mount --rbind "$1" "$2" && cd "$4" && shift 4 && exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(substitute), str(closed[-1]), inside, str(ROOT)]


@pytest.fixture
def planted() -> Iterator[Planted]:
    prefix = "".join(PREFIX)
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        if os.geteuid() == 0:
            Path(folder).chmod(0o755)
            os.chown(home, NOBODY, NOBODY)
        yield Planted(home, prefix + secrets.token_hex(12), prefix + secrets.token_hex(12))


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tool_finds_no_secret_of_others_in_any_process_of_its_user(planted: Planted, backend: str) -> None:
    facts = planted.run("look", backend=backend)
    own = [place for place in facts["result"] if "PLANTED" not in place]
    assert own == [], "\n".join(own)
    assert facts["result"] == []
    assert len(facts["sizes"]) >= 4  # that of the key's own tool included, which cannot be looked into
    assert all(size > 0 for size in facts["sizes"])
    assert len(facts["seen"]) == len(facts["sizes"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", BACKENDS)
def test_whom_a_secret_was_given_to_has_it(planted: Planted, backend: str) -> None:
    model, mine, at_import = planted.run("use", backend=backend)["result"]
    assert model == digest(planted.llm)
    assert mine == digest(planted.tool)
    assert at_import == ([] if backend == "zygote" else ["PLANTED_TOOL"])


@pytest.mark.timeout(120)
def test_what_every_pool_was_given_is_there_when_the_app_is_imported(planted: Planted) -> None:
    _, _, at_import = planted.run("use", common="PLANTED_TOOL")["result"]
    assert at_import == ["PLANTED_TOOL"]


HOWS = ["raise", "popped", "cause", "group", "exit", "halves", "long", "many", "lines"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", HOWS)
def test_what_a_tool_lets_slip_is_recorded_without_the_secret(planted: Planted, how: str) -> None:
    facts = planted.run("slip", how)
    (attempt,) = (step["attempts"][0] for step in facts["steps"])
    said = json.dumps(attempt)
    assert "***" in said or how == "long", said
    assert planted.tool[12:-1] not in said
    assert attempt["outcome"] == ("error" if how in {"raise", "popped", "cause", "group"} else "crash")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_that_quotes_its_key_is_recorded_without_it(planted: Planted, backend: str) -> None:
    facts = planted.run("refused", backend=backend)
    assert "Incorrect API key provided: '***'" in json.dumps(facts["steps"])


# ---------------------------------------------------------------- as root, who may look everywhere, while it runs


@pytest.fixture(params=BACKENDS)
def served(request: pytest.FixtureRequest, home: Path, mark: str) -> Iterator[tuple[psutil.Process, Any, str, str]]:
    """Give an orchestrator that is served, what it says of itself, and the keys of its models and of one tool."""
    if os.geteuid() != 0:
        pytest.skip("only root may look into the memory of every process")
    llm, tool = ("".join(PREFIX) + secrets.token_hex(12) for _ in range(2))
    environ = os.environ | {
        "PLANTED_LLM": llm,
        "PLANTED_TOOL": tool,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-m", "tests.acceptance.secretive_server", str(home), request.param]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environ, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield psutil.Process(process.pid), json.loads(line), llm, tool
        finally:
            said = process.communicate(timeout=30)
    assert not any(key in text for key in (llm, tool) for text in said)


@pytest.mark.timeout(120)
def test_a_key_is_in_the_memory_of_its_own_workers_alone_and_in_no_environment_below(served: Any) -> None:
    orchestrator, told, llm, tool = served
    below = {process.pid: process for process in orchestrator.children(recursive=True)}
    pools = {worker["pid"]: worker["pool"] for worker in told["workers"]}
    assert set(pools) < set(below), "and a keeper and a zygote"
    assert set(pools.values()) == {"program", "llm", "tool", "tool:own_key", "tool:let_slip"}
    for pid in below:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PYTHONHASHSEED=0" in environ, "what it was given is there"
        assert llm.encode() not in environ
        assert tool.encode() not in environ
    assert {pools.get(pid) for pid in below if is_in_memory(pid, llm.encode())} == {"llm"}
    holders = {pools.get(pid) for pid in below if is_in_memory(pid, tool.encode())}
    assert holders == {"tool:own_key", "tool:let_slip"}, "those that were given it, and no keeper or zygote"


@pytest.mark.timeout(120)
def test_no_key_is_in_the_journal_its_newest_pages_the_log_or_any_answer_while_it_is_served(
    served: Any, home: Path
) -> None:
    _, told, llm, tool = served
    run = told["runs"][1]
    files = {file.name: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    assert run.encode() in files["journal.db-wal"], "the newest events are in the log ahead of the file"
    assert run.encode() in files["log.jsonl"]
    answers = {}
    with httpx.Client(base_url=told["url"], timeout=30, trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {told['token']}"
        described = http.get("/openapi.json")
        paths = [path for path, methods in described.json()["paths"].items() if "get" in methods]
        filled = {path.replace("{run_id}", each) for path in paths for each in told["runs"]}
        answers = {"/openapi.json": described} | {path: http.get(path) for path in sorted(filled)}
    statuses = {path: answer.status_code for path, answer in answers.items()}
    assert list(statuses.values()).count(200) > 30, statuses
    assert set(statuses.values()) == {200, 404, 409}, "409 is the result of a run that failed"
    assert any("***" in answer.text for answer in answers.values()), "keys were quoted, and taken out"
    for key in (llm, tool):
        assert not [name for name, content in files.items() if key.encode() in content]
        assert not [path for path, answer in answers.items() if key in answer.text]
