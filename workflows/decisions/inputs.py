"""What happens to a run, as values: the inputs that ``decide`` decides about."""

from collections.abc import Callable
from dataclasses import field
from typing import Literal, TypeAlias

from greenroom.messages.core.errors import GreenroomError
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Completed, Failed, Turn
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.approvals import ApprovalDecision
from greenroom.messages.records.attempts import AttemptRecord, Reservation
from greenroom.messages.records.evaluation import Evaluation


@frozen
class Recover:
    """The run was read from the journal."""

    orphaned: bool
    """Whether the orchestrator that ran it has ended, and its workers with it."""


@frozen
class EngineFault:
    """The run was read from the journal because an input could not be handled: park it."""

    reason: str


@frozen
class ProgramAssigned:
    """A worker was chosen for the program."""

    worker: str
    pid: int
    incarnation: int


@frozen
class ProgramTurn:
    """The program ran until nothing in it was ready."""

    turn: Turn


@frozen
class ProgramLost:
    """The program's worker died. ``charged`` if this run was executing in it."""

    exit: Exit
    charged: bool


@frozen
class NoWorkers:
    """The program or one of the steps cannot be run."""

    reason: str
    unsendable: bool = False
    """Whether the program itself is the cause: what it begins with is too long for any worker."""
    pool: str = ""
    """Name of the pool that has given up, if the run may go on once that pool works again."""


@frozen
class StepAssigned:
    """A worker was chosen for an attempt."""

    key: str
    attempt: int
    token: str
    worker: str
    pid: int
    incarnation: int
    at: float | None = None
    """When, in seconds since the Unix epoch; None for the time of the decision."""
    reserved: Reservation | None = None
    """What was reserved of budgets for the attempt."""


@frozen
class StepUnaffordable:
    """The budgets of the run do not allow the next attempt of a step."""

    key: str


@frozen
class StepAnswered:
    """A worker reports the outcome of an attempt."""

    key: str
    attempt: int
    token: str
    message: Completed | Failed
    assigned: StepAssigned | None = None
    """The assignment of the attempt, if no decision has recorded it yet."""


@frozen
class StepProgressed:
    """An attempt reports its progress."""

    key: str
    attempt: int
    token: str
    detail: Json


@frozen
class StepEmitted:
    """An attempt, or an evaluator of its result, adds values to streams of the run."""

    key: str
    attempt: int
    token: str
    """Token of the attempt; empty if an evaluator of its result emits."""
    values: tuple[tuple[str, Json], ...]
    """Channels and values, in order."""
    confirm: bool = False
    """Whether the sender waits until the values are committed."""


@frozen
class StepLost:
    """The worker of an attempt has died, with every process it had started."""

    key: str
    attempt: int
    token: str
    exit: Exit
    charged: bool


@frozen
class JudgesDue:
    """All evaluators of a result but the judges have answered, and none has rejected it."""

    key: str


@frozen
class JudgeReserved:
    """Budgets have room for a call of a judge."""

    key: str
    attempt: int
    token: str
    judge: str
    reserved: Reservation


@frozen
class JudgeUnaffordable:
    """The budgets of the run do not allow a call of a judge."""

    key: str


@frozen
class JudgeAnswered:
    """A call of a judge has ended for which something was reserved. Usage that is left out is not known."""

    key: str
    attempt: int
    token: str
    usage: dict[str, float]


@frozen
class StepJudged:
    """All evaluators have evaluated a result."""

    key: str
    attempt: int
    evaluations: tuple[Evaluation, ...]
    settled: dict[str, float] = field(default_factory=dict[str, float])
    """The part of the judges' usage that ``JudgeAnswered`` has told."""
    unpaid: str = ""
    """What was said to a judge whose model's account has no quota left; empty if there is none."""


@frozen
class RatingDue:
    """A judge of a sampled answer is about to be called. The receipt is 1 if it may be."""

    sample: str


@frozen
class AnswerRated:
    """All evaluators of a sampled answer have answered."""

    sample: str
    evaluations: tuple[Evaluation, ...]


@frozen
class Tick:
    """A durable timer may be due."""


@frozen
class Cancel:
    """Request to end the run early."""

    reason: str | None
    within: float | None = None
    """Seconds for the cleanup; None if it has no time limit."""
    again: bool = True
    """Whether a run that was cancelled before, and paused or parked since, goes on. False if its parent repeats the
    request."""


@frozen
class Signal:
    """A message to the run."""

    name: str
    value: Json
    key: str | None = None
    known: int | None = None
    """Number of an earlier message to the session with the same key, 0 if there is none; None if the journal was not
    searched."""


@frozen
class Close:
    """Request to close the session."""


@frozen
class CancelTurn:
    """Request to end the running turn of the session early."""

    reason: str | None


@frozen
class SettleDeadLetter:
    """A dead letter was dealt with."""

    letter: str
    how: Literal["redriven", "dropped"]


@frozen
class Delivered:
    """A message that the program sent has arrived, or never will: ``refused`` says why."""

    key: str
    refused: str | None


@frozen
class Decide:
    """A person's answer to a question of the run."""

    key: str
    decision: ApprovalDecision
    args: Json = None
    comment: str = ""
    by: str = ""


@frozen
class Pause:
    """Request to begin nothing new."""

    reason: str | None
    with_parent: bool = False
    """Whether it comes from the parent, which is paused or parked."""
    unless_resumed_since: float | None = None
    """If given, a run that was resumed at this time or later is not paused again."""


@frozen
class Resume:
    """Request to let a paused or parked run go on."""

    budget: Budget | None = None
    """Limits that replace those of its budget."""
    unless_parked: bool = False
    """Whether a parked run stays parked: a parent that goes on has not dealt with what parked its child."""
    only_with_parent: bool = False
    """Whether only a run goes on that was paused with its parent."""
    pool: str | None = None
    """Resume only a run that is parked because this pool had given up; None for any run."""


@frozen
class Overdrawn:
    """A run below this one was stopped because the budget of this run is used up."""

    reason: str


@frozen
class ChildRefused:
    """A run below this one was stopped because a model's account has no quota left."""

    reason: str
    since: float
    """When, in seconds since the Unix epoch."""


@frozen
class ChildFinished:
    """A child run has ended."""

    key: str
    result: Json
    failure: Failure | None
    step: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    """Key and attempts of the child's step whose failure ended the child."""
    retried: str | None = None
    """Id of the retry of its parent which this end follows; see ``Child.retry``."""


Input: TypeAlias = (
    Recover
    | EngineFault
    | ProgramAssigned
    | ProgramTurn
    | ProgramLost
    | NoWorkers
    | StepAssigned
    | StepUnaffordable
    | StepAnswered
    | StepProgressed
    | StepEmitted
    | StepLost
    | JudgesDue
    | JudgeReserved
    | JudgeUnaffordable
    | JudgeAnswered
    | StepJudged
    | RatingDue
    | AnswerRated
    | Tick
    | Cancel
    | Signal
    | Decide
    | Close
    | CancelTurn
    | SettleDeadLetter
    | Delivered
    | Pause
    | Resume
    | Overdrawn
    | ChildRefused
    | ChildFinished
)


@frozen
class Confirmed:
    """An input whose sender is told once its events are committed."""

    happened: Input
    reply: Callable[[GreenroomError | None, int], None]
    """Called on the reactor's thread with the error, if any, and with the number of the message that the input carries:
    above 0 if it is new, below 0 if it was received before."""
