"""An orchestrator starts the first keeper while it opens; the first app is imported in its zygote."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import HomeInUse, Orchestrator, Pool
from tests.support import descendants, eventually
from tests.workflows.apps.surroundings import surroundings

VARIABLE = "SEEN_BY_TOOLS"


@pytest.fixture
def orchestrator(tmp_path: Path) -> Iterator[Orchestrator]:
    assert descendants() == []
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home") as opened:
        yield opened
    assert descendants() == []


def keepers() -> list[int]:
    return [child.pid for child in psutil.Process().children()]


def told(orchestrator: Orchestrator) -> dict[str, Any]:
    return dict(orchestrator.start(surroundings, VARIABLE).result(timeout=60))


def test_the_first_app_is_imported_below_the_keeper_that_the_orchestrator_opened_with(
    orchestrator: Orchestrator,
) -> None:
    (first,) = keepers()
    assert first in told(orchestrator)["above"]
    assert keepers() == [first]


def test_the_zygote_imports_what_workers_need_before_it_knows_its_app(orchestrator: Orchestrator) -> None:
    (first,) = keepers()
    zygote = eventually(lambda: psutil.Process(first).children(), what="the zygote")[0]
    eventually(lambda: zygote.status() == psutil.STATUS_SLEEPING and "pydantic_core" in mapped(zygote), 30)
    eventually(lambda: zygote.status() == psutil.STATUS_SLEEPING and "_asyncio" in mapped(zygote), 30)
    assert orchestrator.workers() == []
    assert zygote.pid in told(orchestrator)["above"]


def mapped(process: psutil.Process) -> str:
    return " ".join(region.path for region in process.memory_maps())


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda patch, _: patch.setenv(VARIABLE, "changed"), lambda found, _: found["variable"] == "changed"),
        (lambda patch, where: patch.chdir(where), lambda found, where: found["folder"] == str(where)),
        (lambda patch, where: patch.syspath_prepend(where), lambda found, where: str(where) in found["path"]),
    ],
    ids=["variable", "folder", "path"],
)
def test_what_has_changed_since_the_opening_is_seen_by_tools(
    orchestrator: Orchestrator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch, Path], object],
    seen: Callable[[dict[str, Any], Path], bool],
) -> None:
    (first,) = keepers()
    change(monkeypatch, tmp_path)
    found = told(orchestrator)
    assert seen(found, tmp_path), found
    assert first not in found["above"]


def test_a_run_does_not_need_the_keeper_that_the_orchestrator_opened_with(orchestrator: Orchestrator) -> None:
    (first,) = keepers()
    os.kill(first, signal.SIGKILL)
    found = told(orchestrator)
    assert found["variable"] is None
    assert first not in found["above"]


def test_an_unused_keeper_that_is_stopped_ends_with_the_orchestrator(orchestrator: Orchestrator) -> None:
    (first,) = keepers()
    os.kill(first, signal.SIGSTOP)
    orchestrator.close()
    assert not psutil.pid_exists(first)
    eventually(lambda: descendants() == [])


def test_an_app_that_cannot_be_forked_gets_a_keeper_of_its_own(tmp_path: Path) -> None:
    pools = {kind: Pool(backend="spawn") for kind in ("program", "tool")}
    with Orchestrator(tmp_path / "journal.db", home=tmp_path / "home", pools=pools) as orchestrator:
        (first,) = keepers()
        assert first not in told(orchestrator)["above"]
    assert descendants() == []


def test_an_orchestrator_that_cannot_open_leaves_no_process(orchestrator: Orchestrator, tmp_path: Path) -> None:
    before = keepers()
    with pytest.raises(HomeInUse):
        Orchestrator(tmp_path / "journal.db", home=tmp_path / "home")
    assert keepers() == before
