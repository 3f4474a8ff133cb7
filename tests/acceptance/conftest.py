"""What the acceptance tests share: a mark on every process of a test, and figures that are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator
from tests.acceptance.harness import MARK, census, describe, pools
from tests.support import eventually


@pytest.fixture
def figure(record_property, capsys) -> Callable[..., None]:
    """Keep a measured figure in the report, and print it."""

    def keep(name: str, value: Any, unit: str = "", target: str = "") -> None:
        record_property(name, value)
        shown = f"{value:.3f}" if isinstance(value, float) else value
        with capsys.disabled():
            print(f"\n    {name}: {shown} {unit}{f' (target {target})' if target else ''}", end="")

    return keep


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Mark every process that the test starts, and see that none of them is left when the test has ended."""
    name = f"{tmp_path}/"
    monkeypatch.setenv(MARK, name)
    yield name
    monkeypatch.delenv(MARK)

    try:
        eventually(lambda: not census(name), 2.0)
    except AssertionError:
        left = census(name)
        for process in left:
            process.kill()
        pytest.fail(f"processes left behind: {describe(left)}")


@pytest.fixture
def orchestrator(tmp_path: Path, home: Path, mark: str):
    """Give an orchestrator of the test's own, with its journal in ``runs.db``, and close it at the end."""
    with Orchestrator(tmp_path / "runs.db", pools=pools()) as opened:
        yield opened
