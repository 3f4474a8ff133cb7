"""The decision about one input while it is being made: what to record and what to do."""

from dataclasses import field

from greenroom.messages.core.errors import GreenroomError
from greenroom.messages.core.frozen import mutable
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.state.fold import apply
from greenroom.workflows.state.run_state import RunState


@mutable
class Decision:
    """What to record and what to do, each in order.

    Recording an event changes ``state`` at once, so whatever is decided next reads what was decided before.
    If deciding raises an exception, ``state`` holds half of a decision: discard it, and fold the journal anew.
    """

    state: RunState = field(compare=False, repr=False)
    at: float = field(compare=False)
    """Time of the decision, in seconds since the Unix epoch."""
    unit: float = field(compare=False)
    """A random number, at least 0 and below 1."""
    overdraft: Overdraft | None = field(default=None, compare=False)
    """A used-up budget that limits this decision."""
    events: list[AnyEvent] = field(default_factory=list[AnyEvent])
    now: list[do.Effect] = field(default_factory=list[do.Effect])
    """Effects that may be carried out before the events are committed."""
    then: list[do.Effect] = field(default_factory=list[do.Effect])
    """Effects that must wait until the events are committed."""
    receipt: int = 0
    """Number of the message that the input carries; negative if the message was received before."""
    refused: GreenroomError | None = None
    """Why the input is refused. A refused input has no events."""
    held_back: bool = field(default=False, compare=False)
    """Whether an attempt was not given out because of ``overdraft``."""
    ends_turn: bool = field(default=False, compare=False)
    """Whether a session's turn ends here: what the program asks for in the same moment is recorded, and not begun."""

    def record(self, event: AnyEvent) -> None:
        """Record an event and apply it to the state."""
        self.events.append(event)
        apply(self.state, event)

    def dispatch(self, key: str, attempt: int) -> None:
        """Give an attempt to its pool, unless a halt, a cancellation, the end of a turn or a budget forbids it."""
        if self.ends_turn or self.state.halted is not None or self.state.holding:
            return
        if self.overdraft is not None:
            self.held_back = True
        else:
            self.now.append(do.Dispatch(key, attempt))

    def start_program(self) -> None:
        """Give the program to a worker after the commit, unless the run stops because of a budget."""
        if not self.exceeds_budget:
            self.then.append(do.StartProgram())

    @property
    def exceeds_budget(self) -> bool:
        """Whether the run stops for ``overdraft``: an attempt would exceed the budget, or its time is over."""
        return self.overdraft is not None and (self.held_back or self.overdraft.late)

    @property
    def judges_overdraft(self) -> Overdraft | None:
        """The used-up budget that forbids to ask judges; None if there is none, or if only attempts are used up."""
        return None if self.overdraft is None or self.overdraft.of_attempts else self.overdraft

    def is_new(self, key: str) -> bool:
        """Return whether the program asked for this key in this very decision."""
        return self.state.asked.get(key, 0) > self.state.seq - len(self.events)
