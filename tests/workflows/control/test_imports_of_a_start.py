"""What each process of a start imports: few modules before its next step, and none that it does not need.

The figures are those of today and a little room. An import more is often a model or a library more, and a start waits
for it twice: in the orchestrator and in the zygote.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from greenroom import Orchestrator
from tests.support import ROOT
from tests.workflows.apps.imported import imported

OPENING = "import greenroom.workflows.control.setup.app_options, greenroom.workflows.control.setup.opening"
"""What ``greenroom run`` imports before its first keeper starts, besides its options."""
SCRIPT = "from greenroom import Orchestrator, tool, workflow; import greenroom.workflows.control.setup.opening"
"""What a script imports before that."""
ZYGOTE = (
    "import greenroom.supervision.zygote.fork_server; from greenroom.actors.app.loader import prepare; prepare(); "
    "import greenroom.workflows.authoring.decorators"
)
"""What a zygote imports before it knows its app, and what every app imports."""
KEEPER = "import greenroom.supervision.zygote.keeper"
"""What a keeper imports, which stays in memory as long as its zygote."""
COUNT = """
import json, sys
models = built = 0
if "pydantic" in sys.modules:
    from pydantic import BaseModel
    waiting = [BaseModel]
    while waiting:
        below = [model for model in waiting.pop().__subclasses__() if model.__module__.startswith("greenroom.")]
        models += len(below)
        built += sum(model.__pydantic_complete__ for model in below)
        waiting += below
print(json.dumps([sorted(sys.modules), models, built]))
"""
STOP = f"""
import os, sys
from greenroom.workflows.control.setup import opening
def stop(*_, **__):
    exec({COUNT!r})
    sys.stdout.flush()
    os._exit(0)
opening.Opening = stop
"""
"""Ends the interpreter where an orchestrator would begin to open."""


class Loaded(NamedTuple):
    """What a new interpreter has loaded."""

    modules: set[str]
    models: int
    built: int
    """Number of models whose validators are built."""

    @property
    def ours(self) -> set[str]:
        return {name for name in self.modules if name.startswith("greenroom.")}

    def below(self, *packages: str) -> set[str]:
        return {name for name in self.modules for package in packages if f"{name}.".startswith(f"{package}.")}


def loaded(program: str) -> Loaded:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{COUNT}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    modules, models, built = json.loads(done.stdout)
    return Loaded(set(modules), models, built)


def test_a_command_starts_its_first_keeper_before_it_imports_models() -> None:
    found = loaded(OPENING)
    assert found.below("pydantic", "pydantic_core", "asyncio", "loguru", "pykka", "psutil", "click", "rich") == set()
    assert found.models == 0
    assert len(found.ours) <= 50


def test_a_command_imports_no_models_on_its_way_there(tmp_path: Path) -> None:
    app = Path(__file__).parents[1] / "apps" / "surroundings.py"
    words = ["run", f"{app}:surroundings", "-i", "variable=HOME", "--home", str(tmp_path)]
    found = loaded(f"{STOP}\nfrom greenroom.__main__ import main; main({words!r})")
    assert "greenroom.cli.commands.runs.run" in found.modules
    assert found.below("pydantic", "asyncio", "loguru", "rich") == set()


def test_a_script_starts_its_first_keeper_before_it_imports_the_engine() -> None:
    found = loaded(SCRIPT)
    libraries = {"loguru", "pykka", "psutil", "cronsim", "rich", "click", "httpx", "tomllib"}
    assert found.below(*libraries) == set()
    rooms = ["workflows.decisions", "workflows.runs", "workflows.state", "workflows.output.collector", "metrics.log"]
    rooms += [
        "journal.sqlite.journal",
        "messages.codecs.codec",
        "messages.codecs.event_codec",
        "messages.events.events",
        "dashboard",
    ]
    rooms += ["supervision.pool", "supervision.tree", "workflows.control.engine", "actors.program.program", "cli"]
    assert found.below(*(f"greenroom.{room}" for room in rooms)) == set()
    assert len(found.ours) <= 138
    assert found.models <= 145
    assert found.built <= 5


def test_a_keeper_imports_neither_a_library_nor_what_brings_half_of_the_standard_one() -> None:
    found = loaded(KEEPER)
    assert (
        found.below("pydantic", "typing_extensions", "asyncio", "socket", "subprocess", "pathlib", "dataclasses")
        == set()
    )
    assert len(found.ours) <= 7


def test_a_zygote_imports_nothing_of_the_orchestrator() -> None:
    found = loaded(ZYGOTE)
    assert found.below("apsw", "loguru", "click", "rich", "httpx", "uvicorn", "fastapi", "cronsim", "psutil") == set()
    rooms = [
        "journal",
        "metrics",
        "dashboard",
        "cli",
        "messages.events",
        "messages.commands",
        "messages.records.records",
    ]
    rooms += ["workflows.api", "workflows.control", "workflows.runs", "supervision.pool", "supervision.tree"]
    assert found.below(*(f"greenroom.{room}" for room in rooms)) == set()
    assert len(found.ours) <= 146
    assert found.models <= 92
    assert found.built <= 30


@pytest.fixture
def orchestrator(tmp_path: Path) -> Iterator[Orchestrator]:
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as opened:
        yield opened


def test_no_worker_imports_anything_of_ours_that_its_zygote_had_not(orchestrator: Orchestrator) -> None:
    found = orchestrator.start(imported).result(timeout=60)
    assert found.keys() == {"tool", "asynchronous tool", "after a failure", "model", "evaluator", "program"}
    assert {kind: names for kind, names in found.items() if names} == {}
