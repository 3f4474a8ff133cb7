"""Events of a run as a whole, and of the program that executes its code."""

from typing import Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.message import Event, Json
from greenroom.messages.frames.replay_differences import Difference
from greenroom.messages.options.policy import Budget

__all__ = [
    "CancelHeard",
    "CancelRequested",
    "CleanupLimited",
    "CodeAdopted",
    "ProgramEnded",
    "ProgramStarted",
    "RunCancelled",
    "RunCompleted",
    "RunEvent",
    "RunFailed",
    "RunForked",
    "RunParked",
    "RunPaused",
    "RunResumed",
    "RunRetried",
    "RunStarted",
    "StateChanged",
]


class RunStarted(Event):
    """A run was accepted. The first event of every run."""

    type: Literal["run.started"] = "run.started"
    run_id: str
    app: str
    """Where the workflow's code is: the absolute path of a file, or a dotted module name."""
    workflow: str
    arguments: dict[str, Json]
    """By parameter name."""
    parent: str | None = None
    """Id of the run that started this one as its child."""
    parent_key: str | None = None
    """Key of the call in the parent run."""
    seed: str = ""
    """Seed of the program's random numbers."""
    budget: Budget | None = None
    accounts: tuple[str, ...] = ()
    """Ids of the runs whose budgets this run draws on, including its own."""
    origin: str | None = None
    """Id of the run that this one was forked from. The shared events follow, up to ``run.forked``."""
    begun_at: float | None = None
    """The program's start, if it differs from ``at``."""
    version: int = 1
    """Version of the workflow, which the run keeps. 0 for the newest when its program first runs."""
    fingerprint: str = ""
    """Fingerprint of the workflow's code when the run was accepted; empty if unknown."""
    form: int = 0
    """Form in which its arguments, and those of its calls, are written; see ``replay_differences.FORM``."""


class StateChanged(Event):
    """The program changed the run's shared state."""

    type: Literal["state.changed"] = "state.changed"
    state: Json


class ProgramStarted(Event):
    """The run was given to a program worker, which receives the recorded outcomes and continues from there."""

    type: Literal["program.started"] = "program.started"
    worker: str
    pid: int
    incarnation: int


class CodeAdopted(Event):
    """Other code than before replayed the journal and made the same requests. The run continues with that code."""

    type: Literal["code.adopted"] = "code.adopted"
    fingerprint: str
    version: int = 0
    """The version that the run keeps from now on; 0 if it is unchanged."""


class ProgramEnded(Event):
    """The program's worker died before the program ended."""

    type: Literal["program.ended"] = "program.ended"
    exit: Exit
    charged: bool


class CancelRequested(Event):
    """Cancelling the run was requested."""

    type: Literal["cancel.requested"] = "cancel.requested"
    reason: str | None = None


class CancelHeard(Event):
    """The program has answered the request to cancel. It withdraws what it no longer awaits; the rest continues."""

    type: Literal["cancel.heard"] = "cancel.heard"


class CleanupLimited(Event):
    """A time limit was set for a cancelled run's cleanup."""

    type: Literal["cleanup.limited"] = "cleanup.limited"
    due: float
    """When the run is ended without the rest of its cleanup."""


class RunCompleted(Event):
    """The workflow returned."""

    type: Literal["run.completed"] = "run.completed"
    result: Json = None


class RunFailed(Event):
    """The workflow raised."""

    type: Literal["run.failed"] = "run.failed"
    failure: Failure
    step: str | None = None
    """Key of the step whose failure the workflow raised, if any."""
    calls: tuple[str, ...] = ()
    """Keys of the failed steps and children that its exception comes from: raised, in a group, or being handled."""


class RunRetried(Event):
    """A run that had ended continues from an earlier call. What followed from that call's outcome is dropped."""

    type: Literal["run.retried"] = "run.retried"
    cut: int
    """Sequence number of that outcome. Earlier requests stay, and so do their results."""
    forgotten: tuple[str, ...] = ()
    """Keys of later requests, and ``cancel`` once for each request to cancel."""
    reopened: tuple[str, ...] = ()
    """Keys of steps and children that failed or were given up at the cut or later. They start again."""
    timers: dict[str, float] = Field(default_factory=dict)
    """Timers that were running at the cut: key to due time, with the remaining time of then."""
    receives: dict[str, str] = Field(default_factory=dict)
    """Calls that awaited a message at the cut and have none: key to the name of the message's type."""
    approvals: tuple[str, ...] = ()
    """Keys of questions that were not answered, at the cut or since. They are open again."""
    state: Json = None
    """The shared state at the cut."""
    emitted: dict[str, int] = Field(default_factory=dict)
    """Number of values that each task had emitted at the cut. Later values stay in their streams."""
    by: str | None = None
    """Identifies the parent's order, so that a repetition is recognized."""


class RunForked(Event):
    """The events before this one are copied from another run. From here on this run is separate."""

    type: Literal["run.forked"] = "run.forked"
    origin: str
    key: str
    """The call whose outcome is the first difference."""
    given: bool = False
    """Whether that call was given a result, and is not made again."""
    result: Json = None
    seed: str = ""
    """Seed of the random numbers drawn after everything shared; empty if none drawn after it are."""
    copied: bool = False
    """Whether this event is copied too: an origin, which is a fork itself, parted from its own origin there."""


class RunCancelled(Event):
    """The run ended because it was cancelled."""

    type: Literal["run.cancelled"] = "run.cancelled"
    reason: str | None = None


class RunParked(Event):
    """The run stopped until a person looks at it."""

    type: Literal["run.parked"] = "run.parked"
    reason: str
    """What happened, and how to correct it."""
    difference: Difference | None = None
    """If the code has changed: what the journal holds, and what the code requests now."""
    pool: str = ""
    """Name of the pool that had given up, if that is the reason. The run resumes by itself once the pool does."""


class RunPaused(Event):
    """The run was paused on request. Running attempts may end; nothing new begins."""

    type: Literal["run.paused"] = "run.paused"
    reason: str | None = None
    quota: bool = False
    """Whether it waits for a model's quota. The run that awaits it then stops as well."""
    with_parent: bool = False
    """Whether it was paused because the run that awaits it was. It continues with that one."""


class RunResumed(Event):
    """A parked or paused run continues."""

    type: Literal["run.resumed"] = "run.resumed"
    budget: Budget | None = None
    """The run's budget from now on, if it was changed."""


RunEvent: TypeAlias = (
    RunStarted
    | StateChanged
    | ProgramStarted
    | CodeAdopted
    | ProgramEnded
    | CancelRequested
    | CancelHeard
    | CleanupLimited
    | RunCompleted
    | RunFailed
    | RunRetried
    | RunForked
    | RunCancelled
    | RunParked
    | RunPaused
    | RunResumed
)
"""Every event of this file."""
