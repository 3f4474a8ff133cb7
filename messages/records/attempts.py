"""Records of one attempt, for people and for the code of workflows."""

from pydantic import Field

from greenroom.messages.core.failures import Exit, Outcome
from greenroom.messages.core.fields import Moment
from greenroom.messages.core.message import Json, Message


class Reservation(Message):
    """What was reserved of budgets before one call of a model."""

    tokens: int
    """Input and output tokens that the call may use together."""
    usd: float = 0.0
    """Their price. 0 if the price is not known, and the budget allows that."""
    max_tokens: int
    """Most output tokens of the answer."""


class AttemptRecord(Message):
    """One attempt of one step."""

    number: int
    worker: str
    pid: int
    started_at: Moment
    ended_at: Moment | None = None
    outcome: Outcome | None = None
    """None while the attempt runs."""
    error: str | None = None
    place: str = ""
    """Place in the user's code where it failed: ``/path/app.py:31``."""
    traceback: str = ""
    """The traceback as Python prints it, with the frames of user code."""
    exit: Exit | None = None
    charged: bool = True
    usage: dict[str, float] = Field(default_factory=dict)
    reserved: Reservation | None = None
    """What was reserved of budgets before it began. It counts as used if ``usage`` does not say what was used."""
    progress: Json = None
    """Its newest progress report, from ``current().heartbeat(detail)``."""
