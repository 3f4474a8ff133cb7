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

import pytest

from tests.acceptance.apps.secretive import PREFIX

NOBODY = 65534
ROOT = Path(__file__).resolve().parent.parent.parent
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
