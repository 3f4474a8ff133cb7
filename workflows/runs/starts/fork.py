"""Fork runs: read the past of a run, decide what is shared, and append a new run that begins with it."""

import asyncio
import secrets
from functools import partial
from typing import Protocol

from greenroom.messages.commands import Accepted, ForkRun, Refused
from greenroom.messages.core.errors import GreenroomError, InvalidInput, JournalError, SequenceConflict
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.decisions.inputs import Confirmed, Input, Recover
from greenroom.workflows.decisions.replay.fork_events import forked, is_same_fork
from greenroom.workflows.event_sourced.registry import Reader
from greenroom.workflows.runs.append import append_of, with_unheard
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState


class Runs(Reader, Protocol):
    """What a fork needs of the registry of runs. Reactor thread only."""

    def route(self, run_id: str, happened: Input | Confirmed, /) -> None:
        """Send a message to a run."""
        ...


async def fork(runs: Runs, dependencies: RunDependencies, command: ForkRun, run_id: str) -> Accepted | Refused:
    """Start a fork with the id ``run_id``, or find it if the same one was started before.

    Returns after the commit. Reactor thread only.
    """
    try:
        events = await runs.read(partial(_events_of_fork, dependencies, command, run_id))
        return await _append(runs, dependencies, run_id, events)
    except InvalidInput as error:
        return Refused(code="invalid", message=str(error))
    except (GreenroomError, ValueError, LookupError) as error:
        return Refused(code="unavailable", message=str(error))


def _events_of_fork(dependencies: RunDependencies, command: ForkRun, run_id: str) -> list[AnyEvent]:
    """Decide what the fork begins with. Reader's thread."""
    past = _events_of(dependencies, command.run_id)
    return forked(past, command, run_id, dependencies.clock(), secrets.token_hex(16))


def _events_of(dependencies: RunDependencies, run_id: str) -> list[AnyEvent]:
    """Return all events of a run. Reader's thread."""
    return [stored.event for stored in dependencies.journal.events(run_id)]


async def _append(runs: Runs, dependencies: RunDependencies, run_id: str, events: list[AnyEvent]) -> Accepted | Refused:
    """Append the fork as a whole, and then recover it like any run of the journal."""
    state: RunState | None = None
    for event in events:
        state = fold(state, event)
    assert state is not None
    workflow = state.workflow
    committed: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()

    def on_commit(error: JournalError | None) -> None:
        if error is None:  # the run continues even if the command that forked it is cancelled
            for event in (events[0], *events[1:][-1:]):  # observers know the shared events from the run's origin
                dependencies.observe(run_id, workflow, event)
            dependencies.registry.note_unheard(run_id, unheard)
            runs.route(run_id, Recover(orphaned=False))
        if not committed.done():
            committed.set_result(error)

    append = append_of(state, events, partial(dependencies.reactor.call, on_commit))
    if unheard := append.row.status == "waiting":  # its program has not begun
        append = with_unheard(append, unheard=True)
    dependencies.journal.append(append)
    error = await committed
    if error is None:
        return Accepted(run_id=run_id)
    if isinstance(error, SequenceConflict):
        begun = await runs.read(partial(_events_of, dependencies, run_id))
        if is_same_fork(events, begun):
            return Accepted(run_id=run_id, created=False)
        return Refused(code="conflict", message=f"run {run_id!r} exists; choose another id for the fork")
    return Refused(code="closed", message=str(error))
