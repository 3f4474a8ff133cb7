"""What the journal holds of sessions beside what it holds of every run, and of messages that programs send."""

from typing import Literal

from pydantic import Field

from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Event, Json
from greenroom.messages.policy import Budget, OnFailure

__all__ = [
    "CloseRequested",
    "DeadLetterSettled",
    "MessageDelivered",
    "MessageSent",
    "SessionClosed",
    "SessionOpened",
    "TurnEnded",
    "TurnFailed",
]


class MessageSent(Event):
    """The program sent a message to another run or session. It is delivered once, however often that is tried."""

    type: Literal["message.sent"] = "message.sent"
    key: str
    """Of the call that sent it; together with this run's id it tells the receiver a repetition."""
    to: str
    """Id of a run, or of a session: ``name/key``."""
    name: str
    """Of the message's type."""
    value: Json
    on_failure: OnFailure = "continue"
    """The policy of the session, which this message may open."""
    budget: Budget | None = None
    """The same."""


class MessageDelivered(Event):
    """A message that the program sent has arrived, or never will."""

    type: Literal["message.delivered"] = "message.delivered"
    key: str
    refused: str | None = None
    """Why the receiver did not take it."""


class SessionOpened(Event):
    """A session was sent its first message. The first event of every session."""

    type: Literal["session.opened"] = "session.opened"
    run_id: str
    """``name/key``."""
    app: str
    """Where the handler's code is: an absolute path of a file, or a dotted module name."""
    session: str
    """Name of the session's handler."""
    key: str
    seed: str = ""
    """What the handler's random numbers follow from."""
    on_failure: OnFailure = "continue"
    budget: Budget | None = None
    """What it may use up, all of its turns together, and the runs that it starts."""
    form: int = 0
    """How the arguments of its first turn's calls are written; see ``differences.FORM``."""


class TurnEnded(Event):
    """A session's handler is done with a message. The session's new state is on record with it, or the old one stands.

    With the session's first event and what is still open, this is all that is needed to go on from here.
    """

    type: Literal["turn.ended"] = "turn.ended"
    number: int
    """Of the message."""
    reply: Json = None
    state: Json = None
    received: int = 0
    """Number of messages that the session has been sent so far."""
    offsets: dict[str, int] = Field(default_factory=dict)
    """Number of values that it has emitted so far, by channel."""
    form: int = 0
    """How the arguments of the next turn's calls are written; see ``differences.FORM``."""
    budget: Budget | None = None
    """The session's from here on, which may have been raised since it was opened."""


class TurnFailed(Event):
    """A session's handler could not deal with a message, which is set aside: a dead letter. The old state stands."""

    type: Literal["turn.failed"] = "turn.failed"
    number: int
    """Of the message."""
    name: str
    """Of the message's type."""
    value: Json
    failure: Failure
    step: str | None = None
    """Key of the step whose failure came out of the handler, where it was one."""
    state: Json = None
    received: int = 0
    """Number of messages that the session has been sent so far."""
    offsets: dict[str, int] = Field(default_factory=dict)
    """Number of values that it has emitted so far, by channel."""
    form: int = 0
    """How the arguments of the next turn's calls are written; see ``differences.FORM``."""
    budget: Budget | None = None
    """The session's from here on, which may have been raised since it was opened."""


class DeadLetterSettled(Event):
    """Somebody has looked at a dead letter: it was sent again, or needs no further attention."""

    type: Literal["dead_letter.settled"] = "dead_letter.settled"
    letter: str
    """Number of the message, or key of the step."""
    how: Literal["redriven", "dropped"]


class CloseRequested(Event):
    """Somebody closes the session: what waits is answered, nothing more is taken."""

    type: Literal["close.requested"] = "close.requested"


class SessionClosed(Event):
    """The session has answered its last message."""

    type: Literal["session.closed"] = "session.closed"
