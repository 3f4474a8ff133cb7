"""Where a run of an agent stands in its program: the keys of its steps, and its deterministic ids.

A run of an agent is a call of the workflow that makes calls of its own. So its steps are named below it:
``writer#1/model#1``, ``writer#1/search[c1]#1``. Tasks that the library creates inside a run change no name.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from greenroom.actors.api.deterministic import uuid4
from greenroom.actors.context import ProgramPort, program
from greenroom.actors.program.scope import Scope, scope
from greenroom.messages.frames.replay_differences import ENTRIES

_runs: WeakKeyDictionary[ProgramPort, dict[str, Scope]] = WeakKeyDictionary()
"""Scopes of agent runs that have not ended, by the run id that the library knows them by. Program's loop only."""


def in_program() -> bool:
    """Return whether the calling code is a workflow or a session's turn."""
    return program.get() is not None


def begin(agent: str) -> str:
    """Begin a run of an agent and return its run id, which is the same on every replay, and in forks that share it."""
    port, task = _here()
    inner = task.enter(agent)
    if port.form < ENTRIES:
        run_id = f"{port.run_id}/{inner.path}"
    else:
        with _standing_at(inner):
            run_id = str(uuid4())
    _runs.setdefault(port, {})[run_id] = inner
    return run_id


def begin_named(agent: str, run_id: str) -> None:
    """Begin a run whose run id the caller chose, unless ``begin`` has returned it."""
    port, task = _here()
    runs = _runs.setdefault(port, {})
    if run_id not in runs:
        runs[run_id] = task.enter(agent)


def end(run_id: str | None) -> None:
    """End a run."""
    port, _ = _here()
    inner = _runs.get(port, {}).pop(run_id or "", None)
    if inner is not None:
        inner.leave()


def clock() -> datetime:
    """Return the program's time, which is the same on every replay."""
    port, _ = _here()
    return datetime.fromtimestamp(port.now(), tz=UTC)


@contextmanager
def steps_of(run_id: str | None) -> Generator[None]:
    """Name the steps that are requested in this context below a run of an agent."""
    port, task = _here()
    with _standing_at(_runs.get(port, {}).get(run_id or "", task)):
        yield


@contextmanager
def inside_call(run_id: str | None, tool: str, call_id: str) -> Generator[None]:
    """Name everything that is requested in this context below one tool call of a run."""
    port, task = _here()
    with _standing_at(_runs.get(port, {}).get(run_id or "", task).inside(tool, call_id)):
        yield


@contextmanager
def _standing_at(place: Scope) -> Generator[None]:
    token = scope.set(place)
    try:
        yield
    finally:
        scope.reset(token)


def _here() -> tuple[ProgramPort, Scope]:
    port, task = program.get(), scope.get()
    assert port is not None, "agents have places in programs only"
    assert task is not None, "code inside a program has a scope"
    return port, task
