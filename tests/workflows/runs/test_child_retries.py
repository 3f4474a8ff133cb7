"""A child that is to go on with its retried parent, and is given up at a moment when it has not gone on yet."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from greenroom.journal.memory import MemoryJournal
from greenroom.messages.commands import Accepted
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.workflows.decisions.inputs import Cancel, Input
from greenroom.workflows.runs.append import append_of
from greenroom.workflows.runs.starts.children import ChildRetries, start_child
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import Child, RunState
from tests.support import eventually

KEY = "c#1"
FAILED = ev.RunFailed(at=2.0, failure=Failure(outcome="error", message="no"))


class Registry:
    """What a parent's retry asks of the registry of runs. Its child has failed before."""

    def __init__(self, at_start: Callable[[], object], at_reopen: Callable[[], object]) -> None:
        self.routed: list[tuple[str, Input]] = []
        self.reopened = 0
        self.child_retries = ChildRetries()
        self.starter = SimpleNamespace(start=self._start)
        self.subscribers = SimpleNamespace(watch=lambda *_, **__: None, unwatch=lambda *_: None)
        self.load_accounts = lambda _state: None
        self._at_start, self._at_reopen = at_start, at_reopen

    async def _start(self, *_: object) -> Accepted:
        self._at_start()
        return Accepted(run_id="a~1", created=False)

    async def read(self, look: Callable[[], Any]) -> Any:
        return look()

    async def reopen(self, *_: object) -> None:
        self.reopened += 1
        self._at_reopen()

    def route(self, run_id: str, happened: Input) -> None:
        self.routed.append((run_id, happened))


def go_on(at_start: Callable[[Child], object], at_reopen: Callable[[ChildRetries], object]) -> Registry:
    """Have the child go on, with what happens meanwhile."""
    first = ev.RunStarted(at=1.0, run_id="a~1", app="app", workflow="w", arguments={}, parent="a", parent_key=KEY)
    journal = MemoryJournal()
    journal.append(append_of(fold_all([first, FAILED]), [first, FAILED], lambda _error: None))
    eventually(lambda: journal.run("a~1"))
    child = Child("a~1", "app", "w", {}, retry="order")
    parent = RunState("a", "app", "w", {}, 1.0, children={KEY: child})
    registry = Registry(lambda: at_start(child), lambda: at_reopen(registry.child_retries))
    dependencies = SimpleNamespace(journal=journal, clock=lambda: 3.0)
    try:
        asyncio.run(start_child(cast("Any", registry), cast("Any", dependencies), parent, KEY, child))
    finally:
        journal.close()
    return registry


def nothing(_: object) -> None: ...


def test_a_child_goes_on_once() -> None:
    registry = go_on(nothing, nothing)
    assert (registry.reopened, registry.routed) == (1, [])


def test_a_child_that_is_given_up_before_it_is_looked_up_does_not_go_on() -> None:
    def give_up(child: Child) -> None:
        child.open = False

    registry = go_on(give_up, nothing)
    assert (registry.reopened, registry.routed) == (0, [])


def test_a_child_that_is_given_up_while_it_is_taken_up_is_cancelled_once_it_goes_on() -> None:
    registry = go_on(nothing, lambda retries: retries.call_off("a~1"))
    assert registry.reopened == 1
    assert registry.routed == [("a~1", Cancel("run a no longer awaits it", None, again=False))]
