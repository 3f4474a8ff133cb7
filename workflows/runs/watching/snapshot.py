"""A copy of what is in memory of a run. Tests compare it with the journal, and choose by it what to kill."""

from copy import deepcopy

from greenroom.messages.core.frozen import frozen
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.state.run_state import RunState


@frozen
class Snapshot:
    """A run in memory, at one moment."""

    state: RunState
    """A copy. It may hold events that are not committed."""
    worker: str | None
    """The worker that has the program; None if none has it."""
    dozing: bool
    """Whether the run waits in memory without its program."""


def snapshot_of(actor: RunActor) -> Snapshot:
    """Return a copy of what the actor of a run holds. Reactor thread only."""
    return Snapshot(deepcopy(actor.state), actor.program_worker, actor.dozing)
