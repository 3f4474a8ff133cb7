"""Events of what a program waits for: timers, child runs, messages and approvals. Also of the values that it emits."""

from typing import Literal, TypeAlias

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Event, Json
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.approvals import ApprovalDecision
from greenroom.messages.records.attempts import AttemptRecord

__all__ = [
    "ApprovalAsked",
    "ApprovalDecided",
    "ApprovalWithdrawn",
    "ChildEnded",
    "ChildScheduled",
    "MessageReceived",
    "MessageRefused",
    "MessageTaken",
    "ReceiveAsked",
    "ReceiveWithdrawn",
    "TimerCancelled",
    "TimerFired",
    "TimerSet",
    "ValueEmitted",
    "WaitEvent",
]


class TimerSet(Event):
    """The program waits until ``due``."""

    type: Literal["timer.set"] = "timer.set"
    key: str
    due: float


class TimerFired(Event):
    """A timer is over."""

    type: Literal["timer.fired"] = "timer.fired"
    key: str


class TimerCancelled(Event):
    """The program no longer waits for this timer."""

    type: Literal["timer.cancelled"] = "timer.cancelled"
    key: str


class ChildScheduled(Event):
    """The program requested a child run."""

    type: Literal["child.scheduled"] = "child.scheduled"
    key: str
    run_id: str
    app: str
    workflow: str
    arguments: dict[str, Json]
    version: int = 1
    fingerprint: str = ""
    budget: Budget | None = None
    """The child's own budget, in addition to those that it inherits."""


class ChildEnded(Event):
    """A child run has ended."""

    type: Literal["child.ended"] = "child.ended"
    key: str
    run_id: str
    result: Json = None
    failure: Failure | None = None
    step: str | None = None
    """Key of the child's step whose failure ended it; None if its own code raised."""
    attempts: tuple[AttemptRecord, ...] = ()
    """That step's attempts."""


class MessageReceived(Event):
    """A message was sent to the run. It stays in the run's mailbox until the program takes it."""

    type: Literal["message.received"] = "message.received"
    number: int
    """1, 2, 3 ... within the run."""
    name: str
    """Name of the message's type."""
    value: Json
    key: str | None = None
    """Identifies the message, so that a repetition is recognized."""


class ReceiveAsked(Event):
    """The program awaits a message."""

    type: Literal["receive.asked"] = "receive.asked"
    key: str
    name: str
    """Name of the message's type."""


class MessageTaken(Event):
    """The oldest message of its type goes to the program."""

    type: Literal["message.taken"] = "message.taken"
    key: str
    """Key of the call that awaits it."""
    number: int


class MessageRefused(Event):
    """The program cannot read a message as the type that it awaits, and waits for the next one."""

    type: Literal["message.refused"] = "message.refused"
    key: str
    reason: str


class ReceiveWithdrawn(Event):
    """The program no longer awaits a message. One that was on its way is in the mailbox again."""

    type: Literal["receive.withdrawn"] = "receive.withdrawn"
    key: str


class ApprovalAsked(Event):
    """The program asks a person for a decision."""

    type: Literal["approval.asked"] = "approval.asked"
    key: str
    action: str
    """The action to approve, in words."""
    args: Json
    """Arguments of the action."""
    step: str | None = None
    """Key of the step whose result, the ``args``, evaluators rejected; None if the workflow's own code asks."""
    ref: str = ""
    """Reference of that step's definition."""
    reason: str = ""
    """What the evaluators said."""
    form: str = ""
    """Model of the app that ``args`` is an instance of, ``module:qualname``; empty if there is none."""


class ApprovalDecided(Event):
    """A person has decided."""

    type: Literal["approval.decided"] = "approval.decided"
    key: str
    decision: ApprovalDecision
    args: Json
    """The approved arguments, edited or not."""
    comment: str = ""
    by: str = ""


class ApprovalWithdrawn(Event):
    """The program no longer waits for the decision."""

    type: Literal["approval.withdrawn"] = "approval.withdrawn"
    key: str


class ValueEmitted(Event):
    """The program added a value to one of the run's streams."""

    type: Literal["value.emitted"] = "value.emitted"
    key: str
    """Key of the call, without its number."""
    number: int
    """1, 2, 3 ... among the calls of that key."""
    channel: str
    offset: int
    """0, 1, 2 ... within the channel."""
    value: Json


WaitEvent: TypeAlias = (
    TimerSet
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
)
"""Every event of this file."""
