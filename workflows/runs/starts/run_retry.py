"""Retry runs that have ended: read the journal of one, decide how it continues, and continue it."""

from functools import partial
from typing import Protocol, TypeAlias

from greenroom.messages.commands import Accepted, Refused
from greenroom.messages.core.errors import GreenroomError, JournalError, RetryRefused, SequenceConflict
from greenroom.messages.events.events import RunRetried
from greenroom.workflows.decisions.replay.run_retry_point import retried
from greenroom.workflows.event_sourced.registry import Reader
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import RunState

Past: TypeAlias = tuple[RunState, RunRetried | RetryRefused]


class Runs(Reader, Protocol):
    """What a retry needs of the registry of runs. Reactor thread only."""

    def load_accounts(self, state: RunState) -> None:
        """Add up the budgets that a run draws on. Reader's thread."""
        ...

    async def reopen(self, state: RunState, event: RunRetried) -> JournalError | None:
        """Continue a run that had ended; return why it cannot."""
        ...


async def retry(runs: Runs, dependencies: RunDependencies, run_id: str) -> Accepted | Refused:
    """Continue an ended run from its failed step. Return after the commit. Reactor thread only."""
    seq = 0
    while True:
        try:
            state, event = await runs.read(partial(past_of, runs, dependencies, run_id))
        except (GreenroomError, ValueError, LookupError) as error:
            return Refused(code="unavailable", message=str(error))
        if isinstance(event, RetryRefused):
            return Refused(code="not_failed", message=str(event))
        before, seq = seq, state.seq  # the fold of the journal, which ``reopen`` changes
        refused = await runs.reopen(state, event)
        if refused is None:
            return Accepted(run_id=run_id)
        if not isinstance(refused, SequenceConflict):
            return Refused(code="closed", message=str(refused))
        if seq == before:
            return Refused(code="not_failed", message=f"run {run_id} goes on already")
        # a background score may have been recorded since it was read


def past_of(runs: Runs, dependencies: RunDependencies, run_id: str, order: str | None = None) -> Past:
    """Read a run and decide how it continues. Reader's thread.

    Args:
        runs: The registry of runs.
        dependencies: The orchestrator.
        run_id: The run.
        order: Id of the parent's retry, if the run continues because its parent does.
    """
    events = [stored.event for stored in dependencies.journal.events(run_id)]
    state = fold_all(events)
    runs.load_accounts(state)
    try:
        return state, retried(run_id, events, dependencies.clock(), order)
    except RetryRefused as error:
        return state, error
