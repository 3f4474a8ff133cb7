"""What happens to a run, as the values that its supervisor decides about, and what it decides to do."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from greenroom.messages.approvals import ApprovalDecision
from greenroom.messages.core.errors import GreenroomError
from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.message import Json
from greenroom.messages.evaluation import Evaluation
from greenroom.messages.events.events import TurnEnded, TurnFailed
from greenroom.messages.frames.worker import Completed, Failed, Turn
from greenroom.messages.policy import Budget
from greenroom.messages.records import AttemptRecord

# ---------------------------------------------------------------- what happens


@frozen
class Begin:
    """The run was accepted just now."""


@frozen
class Recover:
    """The run was read back from the journal."""

    orphaned: bool
    """Whether the orchestrator that ran it is gone, and its workers with it."""


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
    """The program's worker died. ``charged`` where this run held its loop."""

    exit: Exit
    charged: bool


@frozen
class NoWorkers:
    """Nothing can run the program or one of the steps."""

    reason: str
    unsendable: bool = False
    """Whether the program itself is at fault: what it begins with is too long for any worker."""
    pool: str = ""
    """Name of the pool where that takes work again by itself."""


@frozen
class StepAssigned:
    """A worker was chosen for an attempt."""

    key: str
    attempt: int
    token: str
    worker: str
    pid: int
    incarnation: int


@frozen
class StepAnswered:
    """A worker said how an attempt ended."""

    key: str
    attempt: int
    token: str
    message: Completed | Failed


@frozen
class StepProgressed:
    """An attempt says how far it is."""

    key: str
    attempt: int
    token: str
    detail: Json


@frozen
class StepLost:
    """An attempt's worker is gone, with everything it had started."""

    key: str
    attempt: int
    token: str
    exit: Exit
    charged: bool


@frozen
class StepJudged:
    """All evaluators have looked at a result."""

    key: str
    attempt: int
    evaluations: tuple[Evaluation, ...]


@frozen
class Tick:
    """Some durable wake-up time may have come."""


@frozen
class Cancel:
    """Somebody wants the run to end early."""

    reason: str | None
    within: float | None = None
    """Seconds that it has to clean up; None for as long as that takes."""
    again: bool = True
    """Whether a run goes on that was asked before and was paused or parked since: not because its parent asks again."""


@frozen
class Signal:
    """Somebody sends a message."""

    name: str
    value: Json
    key: str | None = None
    known: int | None = None
    """Number of the message of this key that a session has been sent before, 0 where there is none; None where nobody
    has looked yet."""


@frozen
class Close:
    """Somebody closes the session."""


@frozen
class SettleDeadLetter:
    """Somebody has looked at a dead letter."""

    letter: str
    how: Literal["redriven", "dropped"]


@frozen
class Delivered:
    """A message that the program sent has arrived, or never will: ``refused`` says why."""

    key: str
    refused: str | None


@frozen
class Decide:
    """A person decides what the run asked them."""

    key: str
    decision: ApprovalDecision
    args: Json = None
    comment: str = ""
    by: str = ""


@frozen
class Pause:
    """Somebody wants nothing new to begin."""

    reason: str | None


@frozen
class Resume:
    """Somebody lets a paused run go on, or a parked one that they have looked at."""

    budget: Budget | None = None
    """What is to take the place of the same in its budget."""
    unless_parked: bool = False
    """Whether a parked run is to stay so: a parent that goes on has not looked at what parked its child."""
    pool: str | None = None
    """Only a run that is parked because this pool had given up is to go on; None for any run."""


@frozen
class Overdrawn:
    """A child of the run, or of its children, has been stopped because the run's budget is used up."""

    reason: str


@frozen
class ChildFinished:
    """A child run has come to its end."""

    key: str
    result: Json
    failure: Failure | None
    step: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    """Of the child's step whose failure ended it: its key and its attempts."""


Input: TypeAlias = (
    Begin
    | Recover
    | ProgramAssigned
    | ProgramTurn
    | ProgramLost
    | NoWorkers
    | StepAssigned
    | StepAnswered
    | StepProgressed
    | StepLost
    | StepJudged
    | Tick
    | Cancel
    | Signal
    | Decide
    | Close
    | SettleDeadLetter
    | Delivered
    | Pause
    | Resume
    | Overdrawn
    | ChildFinished
)


@frozen
class Confirmed:
    """A message whose sender wants to know when what it led to is on the disk."""

    happened: Input
    reply: Callable[[GreenroomError | None, int], None]
    """Called on the reactor's thread, with what stood against it and, for a message, with its number: above 0 where it
    is new, below 0 where it is an earlier one's repetition."""


# ---------------------------------------------------------------- what to do about it


@frozen
class StartProgram:
    """Give the program to a worker, with all that is recorded."""


@frozen
class ReleaseSteps:
    """The next of ``RunState.resolutions`` is on the disk: let the attempts begin that may follow from it.

    One for each of these. The program may have been told of the outcome before.
    """


@frozen
class TellWritten:
    """All that the program has asked for so far is on the disk: let it go on emitting."""


@frozen
class EndProgram:
    """Have the program's worker forget it."""


@frozen
class Dispatch:
    """Give an attempt of a step to its pool."""

    key: str
    attempt: int


@frozen
class SendHeld:
    """The attempt's start is on the disk: let its worker have it."""

    token: str


@frozen
class Judge:
    """Have a result evaluated."""

    key: str
    attempt: int


@frozen
class WithdrawStep:
    """Stop whatever works on a step: nobody waits for it."""

    key: str


@frozen
class StartChild:
    """Start the child run of this key, or find it where it was started before."""

    key: str


@frozen
class CancelChild:
    """Ask a child run to end early."""

    key: str
    run_id: str
    at_once: bool = False
    """Whether it may not even clean up: the time for that is over."""


@frozen
class PauseChild:
    """Have a child run pause with its parent."""

    key: str


@frozen
class ResumeChild:
    """Let a child run go on with its parent."""

    key: str


@frozen
class Deliver:
    """Bring a message that the program sent to where it goes."""

    key: str


@frozen
class TurnOver:
    """A session is done with a message: tell those who wait for the reply. Nothing of the turn is left."""

    event: TurnEnded | TurnFailed


@frozen
class TellOverdrawn:
    """Tell the run whose budget is used up that it is."""

    run_id: str
    reason: str


@frozen
class Announce:
    """The run has ended or is parked: tell those who wait for it."""


Effect: TypeAlias = (
    StartProgram
    | ReleaseSteps
    | TellWritten
    | EndProgram
    | Dispatch
    | SendHeld
    | Judge
    | WithdrawStep
    | StartChild
    | CancelChild
    | PauseChild
    | ResumeChild
    | Deliver
    | TurnOver
    | TellOverdrawn
    | Announce
)
