"""What the journal holds: one event per fact about a run, in the order in which the facts became true.

A run's state is a fold over these. ``at`` is seconds since the Unix epoch, UTC, read from the wall clock of the
orchestrator that wrote the event.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from greenroom.messages.approvals import ApprovalDecision
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.message import Event, Json
from greenroom.messages.events.schedules import ScheduleEvent
from greenroom.messages.events.sessions import *
from greenroom.messages.events.steps import *
from greenroom.messages.frames.replay_differences import Difference
from greenroom.messages.policy import Budget
from greenroom.messages.records import AttemptRecord


class RunStarted(Event):
    """A run was accepted. The first event of every run."""

    type: Literal["run.started"] = "run.started"
    run_id: str
    app: str
    """Where the workflow's code is: an absolute path of a file, or a dotted module name."""
    workflow: str
    arguments: dict[str, Json]
    """By parameter name."""
    parent: str | None = None
    """Id of the run that started this one as its child."""
    parent_key: str | None = None
    """Key of the call in the parent."""
    seed: str = ""
    """What the program's random numbers follow from."""
    budget: Budget | None = None
    accounts: tuple[str, ...] = ()
    """Ids of the runs whose budgets this one draws on, its own included."""
    origin: str | None = None
    """Id of the run that this one was forked from. What it shares with that one follows, up to ``run.forked``."""
    begun_at: float | None = None
    """What the program takes for its start, where that is not ``at``."""
    version: int = 1
    """Which of the workflows of that name; the run keeps to it. 0 for the newest when its program first runs."""
    fingerprint: str = ""
    """Of its code when the run was accepted; empty where nobody knew."""
    form: int = 0
    """How its arguments are written, and those of its calls; see ``differences.FORM``."""


class TimerSet(Event):
    """The program waits until ``due``."""

    type: Literal["timer.set"] = "timer.set"
    key: str
    due: float


class TimerFired(Event):
    """A wait is over."""

    type: Literal["timer.fired"] = "timer.fired"
    key: str


class TimerCancelled(Event):
    """The program no longer waits for this."""

    type: Literal["timer.cancelled"] = "timer.cancelled"
    key: str


class ChildScheduled(Event):
    """The program asked for a run of its own."""

    type: Literal["child.scheduled"] = "child.scheduled"
    key: str
    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    version: int = 1
    fingerprint: str = ""
    budget: Budget | None = None
    """Its own, beside those that it inherits."""


class ChildEnded(Event):
    """A child run has come to its end."""

    type: Literal["child.ended"] = "child.ended"
    key: str
    run_id: str
    result: Json = None
    failure: Failure | None = None
    step: str | None = None
    """Key of the child's step whose failure ended it; None where its own code raised."""
    attempts: tuple[AttemptRecord, ...] = ()
    """That step's attempts."""


class MessageReceived(Event):
    """Somebody sent the run a message. It lies in the run's mailbox until the program takes it."""

    type: Literal["message.received"] = "message.received"
    number: int
    """1, 2, 3 ... within the run."""
    name: str
    """Of the message's type."""
    value: Json
    key: str | None = None
    """What tells a repetition from a new message."""


class ReceiveAsked(Event):
    """The program awaits a message."""

    type: Literal["receive.asked"] = "receive.asked"
    key: str
    name: str
    """Of the message's type."""


class MessageTaken(Event):
    """The oldest message of its type goes to the program."""

    type: Literal["message.taken"] = "message.taken"
    key: str
    """Of the call that awaits it."""
    number: int


class MessageRefused(Event):
    """The program cannot read a message as what it awaits; it awaits the next one."""

    type: Literal["message.refused"] = "message.refused"
    key: str
    reason: str


class ReceiveWithdrawn(Event):
    """The program awaits a message no longer. One that was on its way to it lies in the mailbox again."""

    type: Literal["receive.withdrawn"] = "receive.withdrawn"
    key: str


class ApprovalAsked(Event):
    """A person is to decide."""

    type: Literal["approval.asked"] = "approval.asked"
    key: str
    action: str
    """What is to be done, in words."""
    args: Json
    """What it is to be done with."""
    step: str | None = None
    """Key of the step whose result, the ``args``, evaluators rejected; None where the workflow's own code asks."""
    ref: str = ""
    """Reference of that step's definition."""
    reason: str = ""
    """What the evaluators said."""
    form: str = ""
    """Which of the app's models ``args`` is written from, ``module:qualname``; empty where it is none."""


class ApprovalDecided(Event):
    """A person has decided."""

    type: Literal["approval.decided"] = "approval.decided"
    key: str
    decision: ApprovalDecision
    args: Json
    """As they are to be, edited or not."""
    comment: str = ""
    by: str = ""


class ApprovalWithdrawn(Event):
    """Nobody waits for the decision any more."""

    type: Literal["approval.withdrawn"] = "approval.withdrawn"
    key: str


class ValueEmitted(Event):
    """The program added a value to one of the run's streams."""

    type: Literal["value.emitted"] = "value.emitted"
    key: str
    """Of the call, without its number."""
    number: int
    """1, 2, 3 ... of the calls of that key."""
    channel: str
    offset: int
    """0, 1, 2 ... within the channel."""
    value: Json


class StateChanged(Event):
    """The program changed the run's shared state."""

    type: Literal["state.changed"] = "state.changed"
    state: Json


class ProgramStarted(Event):
    """A program worker was given the run; it will be fed what is recorded and go on from there."""

    type: Literal["program.started"] = "program.started"
    worker: str
    pid: int
    incarnation: int


class CodeAdopted(Event):
    """The journal was replayed with other code than before, which asked for the same: the run goes on with that."""

    type: Literal["code.adopted"] = "code.adopted"
    fingerprint: str
    version: int = 0
    """The version that the run keeps to from now on; 0 where it did before."""


class ProgramEnded(Event):
    """The program's worker died before the program ended."""

    type: Literal["program.ended"] = "program.ended"
    exit: Exit
    charged: bool


class CancelRequested(Event):
    """Somebody asked for the run to be cancelled."""

    type: Literal["cancel.requested"] = "cancel.requested"
    reason: str | None = None


class CancelHeard(Event):
    """The program has answered the request to cancel: what it awaits no longer is withdrawn, the rest goes on."""

    type: Literal["cancel.heard"] = "cancel.heard"


class CleanupLimited(Event):
    """Somebody set a limit to what a cancelled run does before it ends."""

    type: Literal["cleanup.limited"] = "cleanup.limited"
    due: float
    """When the run is ended without the rest of it."""


class RunCompleted(Event):
    """The workflow returned."""

    type: Literal["run.completed"] = "run.completed"
    result: Json = None


class RunFailed(Event):
    """The workflow raised."""

    type: Literal["run.failed"] = "run.failed"
    failure: Failure
    step: str | None = None
    """Key of the step whose failure came out of the workflow, where it was one."""
    calls: tuple[str, ...] = ()
    """Keys of the steps and children whose failures it raised, also within others, or was handling as it raised."""


class RunRetried(Event):
    """A run that had ended goes on from a call of its past. What followed from that call's outcome is forgotten."""

    type: Literal["run.retried"] = "run.retried"
    cut: int
    """Sequence number of that outcome. What was asked for before it stays; results that it had come to stay as well."""
    forgotten: tuple[str, ...] = ()
    """Keys of what was asked for later; and ``cancel``, once for each request to cancel that was."""
    reopened: tuple[str, ...] = ()
    """Keys of steps and children that failed, or were given up, at the cut or later: they begin anew."""
    timers: dict[str, float] = Field(default_factory=dict)
    """Waits that went on at the cut: key to when they are over, with as much left to wait as there was then."""
    receives: dict[str, str] = Field(default_factory=dict)
    """Calls that awaited a message at the cut and have none: key to the name of the message's type."""
    approvals: tuple[str, ...] = ()
    """Keys of questions that a person had not answered at the cut, and has not since: they are open again."""
    state: Json = None
    """The shared state as of the cut."""
    emitted: dict[str, int] = Field(default_factory=dict)
    """How many values each task had emitted then. What was emitted later stays in its stream."""
    by: str | None = None
    """What tells a repetition of a parent's order from a new one."""


class RunForked(Event):
    """The events before this one are copies from the past of another run; from here on this run is its own."""

    type: Literal["run.forked"] = "run.forked"
    origin: str
    key: str
    """The call with whose outcome the two part."""
    given: bool = False
    """Whether that call has a result by order, and is not made again."""
    result: Json = None
    seed: str = ""
    """What random numbers follow from that are drawn later than anything shared."""


class RunCancelled(Event):
    """The run ended because it was cancelled."""

    type: Literal["run.cancelled"] = "run.cancelled"
    reason: str | None = None


class RunParked(Event):
    """The run stopped where a person must look."""

    type: Literal["run.parked"] = "run.parked"
    reason: str
    """What happened and what mends it."""
    difference: Difference | None = None
    """Where the code has changed: what the journal holds, and what is asked for now."""
    pool: str = ""
    """Name of the pool that had given up, where that is the reason: the run goes on by itself once the pool does."""


class RunPaused(Event):
    """The run stops at somebody's wish. What runs may end; nothing new begins."""

    type: Literal["run.paused"] = "run.paused"
    reason: str | None = None


class RunResumed(Event):
    """A parked or paused run goes on."""

    type: Literal["run.resumed"] = "run.resumed"
    budget: Budget | None = None
    """The run's budget from now on, where it was changed."""


AnyEvent: TypeAlias = Annotated[
    RunStarted
    | StepScheduled
    | AttemptStarted
    | AttemptMoved
    | AttemptProgressed
    | AttemptEnded
    | StepEvaluated
    | RetryScheduled
    | StepCompleted
    | StepFailed
    | TimerSet
    | TimerFired
    | TimerCancelled
    | ChildScheduled
    | ChildEnded
    | MessageReceived
    | ReceiveAsked
    | MessageTaken
    | MessageRefused
    | ReceiveWithdrawn
    | ApprovalAsked
    | ApprovalDecided
    | ApprovalWithdrawn
    | ValueEmitted
    | MessageSent
    | MessageDelivered
    | SessionOpened
    | TurnEnded
    | TurnFailed
    | DeadLetterSettled
    | CloseRequested
    | SessionClosed
    | StateChanged
    | ProgramStarted
    | CodeAdopted
    | ProgramEnded
    | CancelRequested
    | CancelHeard
    | CleanupLimited
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunParked
    | RunPaused
    | RunResumed
    | RunRetried
    | RunForked
    | ScheduleEvent,
    Field(discriminator="type"),
]
