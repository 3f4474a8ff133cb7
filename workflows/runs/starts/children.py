"""Start child runs for their parents, and tell the parents how they ended."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from greenroom.messages.commands import Refused, StartRun
from greenroom.messages.core.errors import RetryRefused, SequenceConflict
from greenroom.messages.core.failures import Failure
from greenroom.workflows.decisions.inputs import ChildFinished
from greenroom.workflows.queries.records.run_records import failed_at
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.starts import run_retry, start
from greenroom.workflows.runs.watching.subscribers import Subscribers
from greenroom.workflows.state.run_state import RunState


class Runs(start.Runs, run_retry.Runs, Protocol):
    """What children need of the registry of runs. Reactor thread only."""

    starter: start.RunStarter
    subscribers: Subscribers
    child_retries: "ChildRetries"

    def load(self, run_id: str) -> RunState:
        """Fold a run from the journal. Reader's thread."""
        ...


class ChildRetries:
    """Children that are to continue with their parents, but may have to end before. Reactor thread only."""

    def __init__(self) -> None:
        """Start without any."""
        self._unwanted: dict[str, list[asyncio.Event]] = {}

    @contextmanager
    def begin(self, run_id: str) -> Generator[asyncio.Event]:
        """Yield an event that is set when the parent has the child cancelled."""
        event = asyncio.Event()
        events = self._unwanted.setdefault(run_id, [])
        events.append(event)
        try:
            yield event
        finally:
            events.remove(event)
            if not events:
                del self._unwanted[run_id]

    def call_off(self, run_id: str) -> None:
        """Let a child stay as it ends: its parent has it cancelled."""
        for event in self._unwanted.get(run_id, ()):
            event.set()


async def start_child(runs: Runs, dependencies: RunDependencies, parent: RunState, key: str) -> None:
    """Start a child run, or find the one that was started; the parent is told of its end."""
    child = parent.children[key]
    command = StartRun(
        run_id=child.run_id,
        app=child.app,
        workflow=child.workflow,
        arguments=child.arguments,
        version=child.version,
        fingerprint=child.fingerprint,
        budget=child.budget,
    )
    answer = await runs.starter.start(command, parent.run_id, key, parent.accounts)
    if isinstance(answer, Refused):
        failure = Failure(outcome="error", type=answer.code, message=answer.message)
        runs.route(parent.run_id, ChildFinished(key, None, failure, retried=child.retry))
    elif child.retry is not None:
        if child.open:  # else the parent has ended meanwhile, and cancelled it before it goes on
            await _retry_child(runs, dependencies, child.run_id, child.retry, is_new=answer.created)
    elif not answer.created and ((there := runs.state(child.run_id)) is None or there.ended is not None):
        tell_parent(runs, await runs.read(partial(runs.load, child.run_id)))


async def _retry_child(runs: Runs, dependencies: RunDependencies, run_id: str, order: str, *, is_new: bool) -> None:
    """Continue a child because its parent continues; if it has done so already, tell the parent of its end.

    If the child is still being cancelled, it continues once it has ended, unless the parent has it cancelled again
    meanwhile. May be repeated: after a crash it is unknown how far that had come.

    Args:
        runs: The registry of runs.
        dependencies: The orchestrator.
        run_id: The child.
        order: Id of the parent's retry.
        is_new: Whether the child has been started because of it.
    """
    with runs.child_retries.begin(run_id) as unwanted:
        await _retry_child_unless(unwanted, runs, dependencies, run_id, order, is_new=is_new)


async def _retry_child_unless(
    unwanted: asyncio.Event, runs: Runs, dependencies: RunDependencies, run_id: str, order: str, *, is_new: bool
) -> None:
    while True:
        ended = asyncio.Event()
        runs.subscribers.watch(run_id, ended.set, end_only=True)
        ended.clear()  # the subscriber was called at once
        try:
            state, event = await runs.read(partial(run_retry.past_of, runs, dependencies, run_id, order))
            if state.ended is None:
                await ended.wait()  # it continues already, or has not come to its end yet
            elif is_new or unwanted.is_set() or state.retried == order or isinstance(event, RetryRefused):
                tell_parent(runs, state, order)
                return
            elif not isinstance(await runs.reopen(state, event), SequenceConflict):
                return
            # else something was recorded since it was read, such as a background score
        finally:
            runs.subscribers.unwatch(run_id, ended.set)


def tell_parent(runs: Runs, state: RunState, order: str | None = None) -> None:
    """Tell the parent of a run how it ended; do nothing if it has no parent, or has not ended.

    Args:
        runs: The registry of runs.
        state: The run.
        order: Id of the parent's retry that has its answer with this; None for the last one that continued the run.
    """
    if state.ended is None or state.parent is None or state.parent_key is None:
        return
    failure = state.failure
    if state.ended == "cancelled":
        failure = Failure(outcome="cancelled", message=state.reason or f"run {state.run_id} was cancelled")
    step, attempts = failed_at(state)
    older = (each.model_copy(update={"traceback": ""}) for each in attempts[:-1])  # they stay in this run's journal
    kept, retried = (*older, *attempts[-1:]), order if order is not None else state.retried
    runs.route(state.parent, ChildFinished(state.parent_key, state.result, failure, step, kept, retried))
