"""What a run does about its inputs, as values: the effects that ``decide`` returns and the run's actor carries out."""

from typing import TypeAlias

from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import TurnEnded, TurnFailed


@frozen
class StartProgram:
    """Give the program to a worker, with all recorded outcomes."""


@frozen
class ReleaseSteps:
    """The next of ``RunState.resolutions`` is committed: release the attempts that may follow from it.

    There is one of these for each resolution. The program may have been told of the outcome before.
    """


@frozen
class ExpectWritten:
    """Remember that the program waits for a commit, until ``TellWritten`` follows that."""


@frozen
class TellWritten:
    """Tell the program that everything it has asked for so far is committed, so it may go on emitting."""


@frozen
class ConfirmEmitted:
    """What an attempt of a step, or an evaluator of its result, has emitted so far is committed, so more may come."""

    key: str


@frozen
class EndProgram:
    """Tell the program's worker to drop the program."""


@frozen
class Dispatch:
    """Give an attempt of a step to its pool."""

    key: str
    attempt: int


@frozen
class SendHeld:
    """The start of the attempt is committed: send it to its worker."""

    token: str


@frozen
class Judge:
    """Evaluate the result of an attempt."""

    key: str
    attempt: int


@frozen
class AskJudges:
    """Ask the judges of a step too, after all other evaluators have answered."""

    key: str


@frozen
class SendJudge:
    """What is reserved for a call of a judge is committed: make the call."""

    key: str
    token: str


@frozen
class RateAnswer:
    """Have a sampled answer rated in the background."""

    sample: str


@frozen
class WithdrawStep:
    """Stop all work on a step that is no longer awaited."""

    key: str


@frozen
class StartChild:
    """Start the child run of this key, or find it if it was started before."""

    key: str


@frozen
class CancelChild:
    """Cancel a child run."""

    key: str
    run_id: str
    at_once: bool = False
    """Whether the child is ended without cleanup, because the time for that is over."""


@frozen
class PauseChild:
    """Pause a child run with its parent."""

    key: str
    again: bool = False
    """Whether the order may have been lost in a crash. If it was not, somebody may have resumed the child since."""


@frozen
class ResumeChild:
    """Resume a child run with its parent."""

    key: str
    again: bool = False
    """Whether the order may have been lost in a crash. If it was not, somebody may have paused the child since."""


@frozen
class Deliver:
    """Deliver a message that the program sent."""

    key: str


@frozen
class TurnOver:
    """Answer those who await the reply to a session's message, and forget what belongs to the turn."""

    event: TurnEnded | TurnFailed


@frozen
class TellOverdrawn:
    """Tell the run that owns a budget that the budget is used up."""

    run_id: str
    reason: str


@frozen
class TellRefused:
    """Tell the run that awaits this one that it waits for a model's quota."""

    run_id: str
    reason: str
    since: float
    """When it was paused for that, in seconds since the Unix epoch."""


@frozen
class Announce:
    """Tell those who wait for the run that it has ended or is parked."""


Effect: TypeAlias = (
    StartProgram
    | ReleaseSteps
    | ExpectWritten
    | TellWritten
    | ConfirmEmitted
    | EndProgram
    | Dispatch
    | SendHeld
    | Judge
    | AskJudges
    | SendJudge
    | RateAnswer
    | WithdrawStep
    | StartChild
    | CancelChild
    | PauseChild
    | ResumeChild
    | Deliver
    | TurnOver
    | TellOverdrawn
    | TellRefused
    | Announce
)
