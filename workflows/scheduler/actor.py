"""The actor of one schedule: records the decisions of ``decide_schedule``, and carries them out after the commit."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, assert_never

from typing_extensions import override

from greenroom.journal.interface import Append, Timer
from greenroom.messages.commands import Accepted, Refused, Reply
from greenroom.messages.core.errors import GreenroomError, JournalError, ScheduleNotFound, SequenceConflict
from greenroom.messages.core.frozen import frozen
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import (
    Plan,
    ScheduleKept,
    SchedulePaused,
    ScheduleRunRefused,
    ScheduleRunStarted,
    ScheduleState,
)
from greenroom.workflows.event_sourced.actor import Committed, EventSourcedActor
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.decide import ScheduleDecision, ScheduleEffect, ScheduleInput, decide_schedule
from greenroom.workflows.schedules.queries import TIMER, StoredSchedule, entry_of, row_of_schedule

KEEP_AFTER: Final = 200
"""Events after which the whole state is recorded, so that a schedule of any age can be read quickly."""


@frozen
class Asked:
    """A message whose sender waits for a reply."""

    happened: ScheduleInput
    answer: Callable[[Reply], None]


@frozen
class Decided:
    """A decision to carry out, and the callers that wait for its result."""

    verdict: ScheduleDecision
    answer: Callable[[Reply], None] | None


class Registry(Protocol):
    """What the actor of a schedule needs of the registry of schedules. Reactor thread only; never blocks."""

    def route(self, name: str, message: ScheduleInput | Asked, /) -> None:
        """Send a message to a schedule."""
        ...

    def wait(self, name: str, due: float | None) -> None:
        """Wake a schedule at ``due``, and at no other time."""
        ...

    def start_run(self, name: str, run_id: str, plan: Plan) -> None:
        """Start a run by its id, or find it. The schedule gets a message about that, and about the run's end."""
        ...

    def cancel_run(self, run_id: str, reason: str) -> None:
        """Cancel a run."""
        ...

    def look(self, name: str, run_id: str) -> None:
        """Send the schedule a message about a run's end, at once if the run has ended already."""
        ...

    def forget(self, name: str, state: ScheduleState | None) -> None:
        """Drop a schedule from memory."""
        ...


class ScheduleActor(EventSourcedActor[Decided]):
    """One schedule, while it has messages or unfinished runs. Its messages are those of ``ScheduleInput``."""

    def __init__(self, dependencies: RunDependencies, registry: Registry, name: str, past: StoredSchedule) -> None:
        """Keep the schedule as it was read. A schedule that was never created has no state."""
        super().__init__(dependencies, f"schedule {name}")
        self._dependencies = dependencies
        self._registry = registry
        self.name = name
        self.state = past.state
        self._seq = past.seq
        self._wake_seq = past.wake_seq
        self._asked: Callable[[Reply], None] | None = None
        """Reply callback for the message that is being handled, if its sender waits."""
        self._triggered: dict[str, list[Callable[[Reply], None]]] = {}
        """Reply callbacks of callers that wait for the start of a run, by run id."""

    def __repr__(self) -> str:
        """Return the schedule's name."""
        return f"<ScheduleActor of {self.name}: {self._seq} events>"

    @override
    def on_receive(self, message: ScheduleInput | Asked) -> None:
        """Decide about one message, record the events, and carry out the effects after the commit."""
        if self._left:
            self._registry.route(self.name, message)
            return
        happened, self._asked = (message.happened, message.answer) if isinstance(message, Asked) else (message, None)
        self._carry_out(decide_schedule(self.name, self.state, happened, self._dependencies.clock()))

    @override
    def _halt(self, reason: str) -> None:
        if (asked := self._asked) is not None:
            self._asked = None
            asked(Refused(code="unavailable", message=reason))
        now = self._dependencies.clock()
        if self.state is not None and not self.state.paused:
            verdict = ScheduleDecision(self.name, self.state, now)
            verdict.add(SchedulePaused(at=now, reason=reason))
            self._carry_out(verdict)

    # ------------------------------------------------------------ record and apply

    def _carry_out(self, verdict: ScheduleDecision) -> None:
        decided, self._asked = Decided(verdict, self._asked), None
        if verdict.events:
            state = self.state = verdict.state
            events = verdict.events
            if self._seq + len(events) - self._wake_seq >= KEEP_AFTER:
                self._wake_seq = self._seq + len(events)
                events = [*events, ScheduleKept(at=self._dependencies.clock(), state=state)]
            self._record(events, [decided])
        else:
            self._follow([decided])
        self._settle()

    @override
    def _append_of(self, events: Sequence[AnyEvent], effects: Sequence[Decided], done: Committed) -> Append:
        state = self.state
        assert state is not None
        entry = entry_of(self.name)
        active = not (state.paused or state.deleted)
        append = Append(
            run_id=entry,
            expected=self._seq,
            events=events,
            row=row_of_schedule(entry, state, self._wake_seq),
            timers_set=[Timer(entry, TIMER, state.due)] if active else (),
            timers_cleared=() if active else (TIMER,),
            done=done,
        )
        self._seq += len(events)
        return append

    @override
    def _publish(self, events: Sequence[AnyEvent]) -> None:
        assert self.state is not None
        self._dependencies.observe(entry_of(self.name), self.state.plan.workflow, *events)
        self._dependencies.registry.published(entry_of(self.name))

    @override
    def _hand_over(self, error: JournalError) -> bool:
        if not isinstance(error, SequenceConflict):
            return False
        self._registry.route(self.name, do.Recover())
        return True

    # ------------------------------------------------------------ what follows

    @override
    def _do(self, effect: Decided) -> None:
        """Carry out a decision, and send the replies."""
        verdict, asked = effect.verdict, effect.answer
        for order in verdict.orders:
            self._execute(order)
        for event in verdict.events:
            self._answer_trigger(event)
        if asked is None:
            return
        if verdict.starting:
            self._triggered.setdefault(verdict.run_id, []).append(asked)
        elif verdict.refused is None:
            asked(Accepted(run_id=verdict.run_id or self.name, created=verdict.created))
        else:
            asked(_refused(verdict.refused))

    def _execute(self, order: ScheduleEffect) -> None:
        match order:
            case do.Start(run_id=run_id):
                assert self.state is not None
                self._registry.start_run(self.name, run_id, self.state.plan)
            case do.Cancel(run_id=run_id, reason=reason):
                self._registry.cancel_run(run_id, reason)
            case do.Look(run_id=run_id):
                self._registry.look(self.name, run_id)
            case _:
                assert_never(order)

    def _answer_trigger(self, event: AnyEvent) -> None:
        """Reply to those that triggered a run whether it could be started."""
        match event:
            case ScheduleRunStarted(run_id=run_id):
                reply: Reply = Accepted(run_id=run_id)
            case ScheduleRunRefused(run_id=run_id, reason=reason):
                reply = Refused(code="invalid", message=reason)
            case _:
                return
        for asked in self._triggered.pop(run_id, ()):
            asked(reply)

    @override
    def _settle(self) -> None:
        if self._left:
            return
        state = self.state
        if state is not None:
            self._registry.wait(self.name, None if state.paused or state.deleted else state.due)
        busy = state is not None and not state.deleted and (state.open or state.queued)
        if not (busy or self._triggered or self._pending) and self.actor_inbox.empty():
            self._leave()

    @override
    def _leave(self) -> None:
        self._left = True
        self._registry.forget(self.name, self.state)
        super()._leave()


def _refused(error: GreenroomError) -> Refused:
    return Refused(code="not_found" if isinstance(error, ScheduleNotFound) else "busy", message=str(error))
