"""What tests of agents of other libraries share: one orchestrator for all tests of a file, as agents take time to import."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator, Pool
from tests.acceptance.apps.effects import effects
from tests.integrations.provider import Provider
from tests.support import ROOT, descendants, eventually

Lines = Callable[[Any], list[dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Fail a file whose orchestrator leaves a process; the rule for single tests would end what its tests share."""
    before = set(descendants())
    yield
    eventually(lambda: set(descendants()) <= before, what="the end of the orchestrator's processes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder in which steps leave lines."""
    path = tmp_path_factory.mktemp("agents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTS_LOG", str(path / "effects.log"))
        yield path


@pytest.fixture(scope="module")
def orchestrator(folder: Path) -> Iterator[Orchestrator]:
    """Give the orchestrator of the file."""
    pools = {kind: Pool(size=size) for kind, size in {"program": 1, "tool": 2, "llm": 1}.items()}
    with Orchestrator(home=folder / "home", pools=pools, durability="process") as opened:
        yield opened


@pytest.fixture
def lines(folder: Path) -> Lines:
    """Give what the steps of a run left in the log."""

    def of(run: Any) -> list[dict[str, Any]]:
        return [line for line in effects(folder / "effects.log") if line["run"] == run.id]

    return of


@pytest.fixture
def paid(folder: Path) -> Iterator[Path]:
    """Give the file that tops up the account of the unpaid models."""
    file = folder / "effects.paid"
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    """Give a provider on this machine, which the example asks; the working folder is the test's."""
    found = Provider()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", found.url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    yield found
    found.go.set()
    found.server.shutdown()
    found.server.server_close()
    thread.join()
