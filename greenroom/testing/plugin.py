"""The pytest plugin: ``orchestrator`` with its options and ``virtual_clock``, ``model_scripts`` and ``tool_fakes``.

pytest loads it wherever greenroom is installed, so it imports greenroom only when a fixture is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from greenroom import Orchestrator
    from greenroom.testing.clock import VirtualClock
    from greenroom.testing.fakes import ToolFakes
    from greenroom.testing.scripts import ModelScripts

MARKER = "orchestrator(**options): options of the `orchestrator` fixture, those of greenroom.Orchestrator"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for ``--strict-markers``."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def virtual_clock() -> "VirtualClock":
    """Return the clock of the ``orchestrator`` fixture; override it for another start.

    Example::

        @pytest.fixture
        def virtual_clock():
            return VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    """
    from greenroom.testing.clock import VirtualClock  # noqa: PLC0415  see above

    return VirtualClock()


@pytest.fixture
def orchestrator_options() -> dict[str, Any]:
    """Return options of ``greenroom.Orchestrator`` for the ``orchestrator`` fixture; override it to set some.

    Options of ``@pytest.mark.orchestrator(...)`` take precedence, the nearest mark first.
    """
    return {}


@pytest.fixture
def orchestrator(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    virtual_clock: "VirtualClock",
    orchestrator_options: dict[str, Any],
) -> "Iterator[Orchestrator]":
    """Yield an orchestrator for one test, with its own home and the ``virtual_clock``. It is closed at the end.

    Its pools are small and its journal does not wait for the disk. Workers start when they are needed, and end with the
    test.
    """
    from greenroom import Orchestrator, Pool  # noqa: PLC0415  see above

    kinds = {"program": 1, "tool": 2, "llm": 1, "evaluator": 1}
    options: dict[str, Any] = {
        "home": tmp_path_factory.mktemp("greenroom"),
        "pools": {kind: Pool(size=size) for kind, size in kinds.items()},
        "durability": "process",
        "clock": virtual_clock,
        **orchestrator_options,
    }
    for mark in reversed(list(request.node.iter_markers("orchestrator"))):
        if mark.args:
            given = ", ".join(repr(value) for value in mark.args)
            pytest.fail(
                f"@pytest.mark.orchestrator takes options by name, such as clock=None, not {given}", pytrace=False
            )
        options |= mark.kwargs
    with Orchestrator(**options) as opened:
        yield opened


@pytest.fixture
def model_scripts(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> "ModelScripts":
    """Yield the ``ModelScripts`` of one test: replies of models, whichever process asks."""
    from greenroom.testing.scripts import ModelScripts  # noqa: PLC0415  see above

    scripts = ModelScripts(tmp_path_factory.mktemp("scripts"))
    monkeypatch.setenv(scripts.variable, str(scripts.folder))
    return scripts


@pytest.fixture
def tool_fakes(monkeypatch: pytest.MonkeyPatch) -> "Iterator[ToolFakes]":
    """Yield the ``ToolFakes`` of one test: functions that are called in place of tools."""
    from greenroom.testing.fakes import ToolFakes  # noqa: PLC0415  see above

    fakes = ToolFakes()
    monkeypatch.setenv(fakes.variable, str(fakes.path))
    yield fakes
    fakes.close()
