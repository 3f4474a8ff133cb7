"""Events of sessions beyond those of every run, and of messages that programs send."""

from typing import Literal, TypeAlias

from pydantic import Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Event, Json
from greenroom.messages.options.policy import Budget, OnFailure

__all__ = [
    "CloseRequested",
    "DeadLetterSettled",
    "MessageDelivered",
    "MessageSent",
    "SessionClosed",
    "SessionEvent",
    "SessionOpened",
    "TurnCancelRequested",
    "TurnEnded",
    "TurnFailed",
]


class MessageSent(Event):
    """The program sent a message to another run or session. It is delivered once, even if delivery is repeated."""

    type: Literal["message.sent"] = "message.sent"
    key: str
    """Key of the call that sent it. With this run's id it lets the receiver recognize a repetition."""
    to: str
    """Id of a run, or of a session: ``name/key``."""
    name: str
    """Name of the message's type."""
    value: Json
    on_failure: OnFailure = "continue"
    """Policy of the session that this message may open."""
    budget: Budget | None = None
    """Budget of the session that this message may open."""


class MessageDelivered(Event):
    """A message that the program sent was delivered, or never will be."""

    type: Literal["message.delivered"] = "message.delivered"
    key: str
    refused: str | None = None
    """Why the receiver refused it."""


class SessionOpened(Event):
    """A session received its first message. The first event of every session."""

    type: Literal["session.opened"] = "session.opened"
    run_id: str
    """``name/key``."""
    app: str
    """Where the handler's code is: the absolute path of a file, or a dotted module name."""
    session: str
    """Name of the session's handler."""
    key: str
    seed: str = ""
    """Seed of the handler's random numbers."""
    on_failure: OnFailure = "continue"
    budget: Budget | None = None
    """Budget of all its turns together, including the runs that it starts."""
    form: int = 0
    """Form in which the arguments of its first turn's calls are written; see ``replay_differences.FORM``."""


class TurnEnded(Event):
    """A session's handler has finished with a message. The event holds the session's new state, or the old one stays.

    Together with the session's first event and what is still open, this is all that is needed to continue.
    """

    type: Literal["turn.ended"] = "turn.ended"
    number: int
    """Number of the message."""
    reply: Json = None
    state: Json = None
    received: int = 0
    """Number of messages that the session has received so far."""
    offsets: dict[str, int] = Field(default_factory=dict)
    """Number of values that it has emitted so far, by channel."""
    form: int = 0
    """Form in which the arguments of the next turn's calls are written; see ``replay_differences.FORM``."""
    budget: Budget | None = None
    """The session's budget from now on, which may have been raised."""
    conversed: bool = False
    """Whether the session has ever had a conversation with a model."""


class TurnCancelRequested(Event):
    """The running turn of a session is to end early. Its handler receives a cancellation and may clean up."""

    type: Literal["turn.cancel_requested"] = "turn.cancel_requested"
    number: int
    """Number of the message."""
    reason: str | None = None


class TurnFailed(Event):
    """A session's handler failed on a message, which becomes a dead letter. The old state stays."""

    type: Literal["turn.failed"] = "turn.failed"
    number: int
    """Number of the message."""
    name: str
    """Name of the message's type."""
    value: Json
    failure: Failure
    step: str | None = None
    """Key of the step whose failure the handler raised, if any."""
    state: Json = None
    received: int = 0
    """Number of messages that the session has received so far."""
    offsets: dict[str, int] = Field(default_factory=dict)
    """Number of values that it has emitted so far, by channel."""
    form: int = 0
    """Form in which the arguments of the next turn's calls are written; see ``replay_differences.FORM``."""
    budget: Budget | None = None
    """The session's budget from now on, which may have been raised."""
    conversed: bool = False
    """Whether the session has ever had a conversation with a model."""
    cancelled: bool = False
    """Whether the turn was cancelled. Its message is then no dead letter."""


class DeadLetterSettled(Event):
    """A dead letter was settled: it was sent again, or dropped."""

    type: Literal["dead_letter.settled"] = "dead_letter.settled"
    letter: str
    """Number of the message, or key of the step."""
    how: Literal["redriven", "dropped"]


class CloseRequested(Event):
    """The session is being closed: it answers waiting messages and accepts no more."""

    type: Literal["close.requested"] = "close.requested"


class SessionClosed(Event):
    """The session has answered its last message."""

    type: Literal["session.closed"] = "session.closed"


SessionEvent: TypeAlias = (
    MessageSent
    | MessageDelivered
    | SessionOpened
    | TurnCancelRequested
    | TurnEnded
    | TurnFailed
    | DeadLetterSettled
    | CloseRequested
    | SessionClosed
)
"""Every event of this file."""
