"""A look at what a supervisor holds in memory: for tests, which compare it with the journal and aim kills by it."""

from copy import deepcopy
from dataclasses import dataclass

from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.state.run_state import RunState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run in memory, at one moment."""

    state: RunState
    """A copy. It may be ahead of the disk."""
    worker: str | None
    """The worker that has the program; None where none has, or none yet."""
    dozing: bool
    """Whether the run waits in memory without its program: no worker has it, and none is about to."""


def snapshot_of(supervisor: RunActor) -> Snapshot:
    """Copy what a supervisor knows. Reactor's thread only."""
    return Snapshot(deepcopy(supervisor.state), supervisor.program_worker, supervisor.dozing)
