"""Apps as files, loaded here or in real worker processes."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from greenroom.actors.definitions.definitions import registered
from greenroom.messages.options.policy import WorkerKind
from tests.actors.worker_process import Worker


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let a test load apps into this process, and forget them after it."""
    known = dict(registered)
    registered.clear()
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    registered.clear()
    registered.update(known)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write_app(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes an app's file."""

    def write(text: str, name: str = "app.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Give a function that starts a worker process for an app."""
    workers: list[Worker] = []

    def start(app: Path, kind: WorkerKind = "tool", **spec: object) -> Worker:
        workers.append(Worker(str(app), kind, **spec))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()
