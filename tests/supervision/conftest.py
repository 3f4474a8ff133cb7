"""Both backends, each started once for the tests that leave it as they found it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.supervision.harness import BACKENDS, Scene


@pytest.fixture(scope="module", params=list(BACKENDS))
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Give a started backend, shared by the tests of a module."""
    scene = Scene(request.param)
    scene.run(scene.backend.start())
    yield scene
    scene.close()


@pytest.fixture
def make_scene() -> Iterator[Callable[..., Scene]]:
    """Give a maker of backends that are closed after the test."""
    scenes: list[Scene] = []

    def make(kind: str, app: str = "plain", **options: Any) -> Scene:
        scene = Scene(kind, app, **options)
        scenes.append(scene)
        return scene

    yield make
    for scene in scenes:
        scene.close()
