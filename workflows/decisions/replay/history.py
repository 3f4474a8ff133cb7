"""The history of a run: its calls in the order of the journal, each with its outcome. Pure.

The state of a run does not keep the order of its events. A retry or a fork needs it.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from greenroom.messages.core.frozen import mutable
from greenroom.messages.core.message import Json
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.workflows.state.run_state import CANCEL_KEY

End: TypeAlias = ev.RunCompleted | ev.RunFailed | ev.RunCancelled


@mutable
class PastCall:
    """One call of the program."""

    kind: Literal["step", "child", "timer", "receive", "approval", "send"]
    asked: int
    """Sequence number of the event by which it was recorded."""
    ended: int | None = None
    """Sequence number of its outcome, or None."""
    failed: bool = False
    """Whether it has failed, or the program no longer awaits it."""
    begun: bool = False
    """For a step: whether an attempt was made."""
    once: bool = False
    taken: int | None = None
    """For a wait for a message: sequence number of the event that took one, even if the message was given back."""
    name: str = ""
    """For a wait for a message: the name of the message's type."""
    due: float = 0.0
    """For a timer: the moment."""


class History:
    """The history of a run, made from all its events, without what an earlier retry has forgotten."""

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        """Read the events."""
        self.calls: dict[str, PastCall] = {}
        """By key, in the order in which they were made."""
        self.moments: list[float] = []
        """When each event was recorded."""
        self.end: End | None = None
        """The event that ended the run, or None."""
        self.closing = 0
        """Sequence number of the first event of the end, by which open calls are given up before the run ends."""
        self._states: list[tuple[int, Json]] = []
        self._cancels: list[int] = []
        self._emitted: list[tuple[int, str, int]] = []
        self._loose: set[int] = set()
        """Sequence numbers of events that belong to no call."""
        for event in events:
            self._add(len(self.moments) + 1, event)

    @property
    def seq(self) -> int:
        """Number of events."""
        return len(self.moments)

    @property
    def cancelled_at(self) -> int | None:
        """Sequence number of the last request to cancel, or None."""
        return self._cancels[-1] if self._cancels else None

    def cancelled_after(self, seq: int) -> int | None:
        """Return the sequence number of the first request to cancel after an event, or None."""
        return next((each for each in self._cancels if each > seq), None)

    def cancels_from(self, cut: int) -> int:
        """Count the requests to cancel at ``cut`` and later."""
        return sum(seq >= cut for seq in self._cancels)

    def state_before(self, cut: int) -> Json:
        """Return the shared state before the event ``cut``."""
        return next((state for seq, state in reversed(self._states) if seq < cut), None)

    def holds(self, seq: int) -> bool:
        """Return whether a change of state, a value or a request to cancel was not forgotten by a retry."""
        return seq in self._loose

    def emitted_before(self, cut: int) -> dict[str, int]:
        """Return how many values each task had emitted before the event ``cut``."""
        return {key: number for seq, key, number in self._emitted if seq < cut}

    def _add(self, seq: int, event: AnyEvent) -> None:
        self.moments.append(event.at)
        if isinstance(event, ev.AnswerSampled | ev.AnswerRated):
            return  # what is rated in the background is no part of what the program has done
        if _gives_up(event):
            self.closing = self.closing or seq
        elif not isinstance(event, End):
            self.closing = 0
        if isinstance(event, ev.StateChanged | ev.CancelRequested | ev.ValueEmitted):
            self._loose.add(seq)
        match event:
            case ev.RunCompleted() | ev.RunFailed() | ev.RunCancelled():
                self.end, self.closing = event, self.closing or seq
            case ev.StateChanged():
                self._states.append((seq, event.state))
            case ev.ValueEmitted(key=key, number=number):
                self._emitted.append((seq, key, number))
            case ev.CancelRequested():
                self._cancels.append(seq)
            case ev.RunRetried():
                self._rewind(event)
            case _:
                self._add_call(seq, event)

    def _add_call(self, seq: int, event: AnyEvent) -> None:
        match event:
            case ev.StepScheduled(key=key, options=options):
                self.calls[key] = PastCall("step", seq, once=options.once)
            case ev.ChildScheduled(key=key):
                self.calls[key] = PastCall("child", seq)
            case ev.TimerSet(key=key, due=due):
                self.calls[key] = PastCall("timer", seq, due=due)
            case ev.ReceiveAsked(key=key, name=name):
                self.calls[key] = PastCall("receive", seq, name=name)
            case ev.MessageSent(key=key):
                self.calls[key] = PastCall("send", seq, ended=seq)  # the program awaits no outcome of it
            case ev.ApprovalAsked(key=key, step=None):
                self.calls[key] = PastCall("approval", seq)
            case _:
                self._add_outcome(seq, event)

    def _add_outcome(self, seq: int, event: AnyEvent) -> None:
        match event:
            case ev.AttemptStarted(key=key):
                self.calls[key].begun = True
            case ev.StepCompleted(key=key) | ev.TimerFired(key=key):
                self._end_call(key, seq, failed=False)
            case ev.MessageTaken(key=key):
                self.calls[key].taken = seq
                self._end_call(key, seq, failed=False)
            case ev.StepFailed(key=key) | ev.TimerCancelled(key=key) | ev.ReceiveWithdrawn(key=key):
                self._end_call(key, seq, failed=True)
            case ev.ChildEnded(key=key, failure=failure):
                self._end_call(key, seq, failed=failure is not None)
            case ev.RunForked(key=key, given=True):
                self._end_call(key, seq, failed=False)
            case ev.ApprovalDecided(key=key) | ev.ApprovalWithdrawn(key=key):
                if key in self.calls:  # questions about a step's result are not calls
                    self._end_call(key, seq, failed=isinstance(event, ev.ApprovalWithdrawn))
            case _:  # no other event is a call or an outcome
                pass

    def _end_call(self, key: str, seq: int, *, failed: bool) -> None:
        self.calls[key].ended, self.calls[key].failed = seq, failed

    def _rewind(self, event: ev.RunRetried) -> None:
        """Forget what a retry of the run has forgotten."""
        self.end = None
        for key in event.forgotten:
            if key == CANCEL_KEY:
                self._cancels.pop()
            else:
                del self.calls[key]
        for key in (*event.reopened, *event.timers, *event.receives, *event.approvals):
            self.calls[key].ended, self.calls[key].failed, self.calls[key].taken = None, False, None
        for key, due in event.timers.items():
            self.calls[key].due = due
        self._loose = {seq for seq in self._loose if seq < event.cut}
        self._states = [(seq, state) for seq, state in self._states if seq < event.cut]
        self._emitted = [each for each in self._emitted if each[0] < event.cut]


def _gives_up(event: AnyEvent) -> bool:
    """Return whether an event gives up an open call, as the end of a run does."""
    match event:
        case ev.AttemptEnded(outcome="cancelled") | ev.StepFailed(reason="cancelled") | ev.ApprovalWithdrawn():
            return True
        case ev.ChildEnded(failure=failure):
            return failure is not None and failure.outcome == "cancelled"
        case _:
            return False
