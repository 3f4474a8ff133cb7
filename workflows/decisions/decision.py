"""What a decision is made of: the moment it is made at, and what it comes to."""

from dataclasses import dataclass, field

from greenroom.messages.core.errors import GreenroomError
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.decisions.inputs import Effect


@dataclass(slots=True)
class Decision:
    """What to record and what to do, each in order."""

    events: list[AnyEvent] = field(default_factory=list[AnyEvent])
    now: list[Effect] = field(default_factory=list[Effect])
    """May be carried out before the events are on the disk."""
    then: list[Effect] = field(default_factory=list[Effect])
    """Only after."""
    receipt: int = 0
    """Number of the message that this is about; below 0 where it came before."""
    refused: GreenroomError | None = None
    """Why what was asked for is refused, and nothing follows."""


@frozen
class Moment:
    """What a decision may know of the world."""

    now: float
    """Seconds since the Unix epoch."""
    unit: float
    """A random number, at least 0 and below 1."""
    overdraft: Overdraft | None = None
    """The budget that is used up, where one is that the run draws on."""
