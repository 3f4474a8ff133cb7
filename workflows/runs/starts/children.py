"""Start child runs for their parents, and tell the parents how they ended."""

import asyncio
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

    def load(self, run_id: str) -> RunState:
        """Fold a run from the journal. Reader's thread."""
        ...


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
        runs.route(parent.run_id, ChildFinished(key, None, failure))
    elif not answer.created and child.retry is not None:
        await _retry_child(runs, dependencies, child.run_id, child.retry)
    elif not answer.created and ((there := runs.state(child.run_id)) is None or there.ended is not None):
        tell_parent(runs, await runs.read(partial(runs.load, child.run_id)))


async def _retry_child(runs: Runs, dependencies: RunDependencies, run_id: str, order: str) -> None:
    """Continue a child because its parent continues; if it has done so already, tell the parent of its end.

    May be repeated: after a crash it is unknown how far that had come.
    """
    while True:
        ended = asyncio.Event()
        runs.subscribers.watch(run_id, ended.set, end_only=True)
        ended.clear()  # the subscriber was called at once
        try:
            state, event = await runs.read(partial(run_retry.past_of, runs, dependencies, run_id, order))
            if state.ended is None:
                await ended.wait()  # it continues already, or has not come to its end yet
            elif state.retried == order or isinstance(event, RetryRefused):
                tell_parent(runs, state)
                return
            elif not isinstance(await runs.reopen(state, event), SequenceConflict):
                return
            # else something was recorded since it was read, such as a background score
        finally:
            runs.subscribers.unwatch(run_id, ended.set)


def tell_parent(runs: Runs, state: RunState) -> None:
    """Tell the parent of a run how it ended; do nothing if it has no parent, or has not ended."""
    if state.ended is None or state.parent is None or state.parent_key is None:
        return
    failure = state.failure
    if state.ended == "cancelled":
        failure = Failure(outcome="cancelled", message=state.reason or f"run {state.run_id} was cancelled")
    step, attempts = failed_at(state)
    older = (each.model_copy(update={"traceback": ""}) for each in attempts[:-1])  # they stay in this run's journal
    runs.route(state.parent, ChildFinished(state.parent_key, state.result, failure, step, (*older, *attempts[-1:])))
