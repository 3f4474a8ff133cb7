"""The actor of one schedule: records what ``decide_schedule`` says, and has it done once that is on the disk."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, assert_never

from loguru import logger
from typing_extensions import override

from greenroom.journal.interface import Append, Timer
from greenroom.messages.commands import Accepted, Refused, Reply
from greenroom.messages.core.errors import GreenroomError, JournalError, ScheduleNotFound, SequenceConflict
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import (
    Plan,
    ScheduleKept,
    SchedulePaused,
    ScheduleRunRefused,
    ScheduleRunStarted,
    ScheduleState,
)
from greenroom.supervision.loop.actor import LoopActor
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.decide import ScheduleDecision, ScheduleEffect, ScheduleInput, decide_schedule
from greenroom.workflows.schedules.queries import TIMER, StoredSchedule, entry_of, row_of_schedule

KEEP_AFTER: Final = 200
"""Events after which the state is written down whole, so that a schedule of any age is read in a moment."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that somebody waits for."""

    happened: ScheduleInput
    answer: Callable[[Reply], None]


class ScheduleStore(Protocol):
    """What a schedule needs of whoever keeps it. Reactor's thread only; never blocks."""

    def deliver(self, name: str, message: ScheduleInput | Asked) -> None:
        """Bring a message to a schedule."""
        ...

    def wait(self, name: str, due: float | None) -> None:
        """Wake a schedule at ``due``, and at no other moment."""
        ...

    def start_run(self, name: str, run_id: str, plan: Plan) -> None:
        """Start a run by its id, or find it; the schedule hears of that, and of its end."""
        ...

    def cancel_run(self, run_id: str, reason: str) -> None:
        """Ask a run to end early."""
        ...

    def look(self, name: str, run_id: str) -> None:
        """Tell the schedule of a run's end, now where that has come already."""
        ...

    def forget(self, name: str, state: ScheduleState | None) -> None:
        """Drop a schedule from memory."""
        ...


class ScheduleActor(LoopActor):
    """One schedule, while something happens to it or runs of it go on. Its messages are those of ``ScheduleInput``."""

    def __init__(self, services: RunDependencies, keeper: ScheduleStore, name: str, past: StoredSchedule) -> None:
        """Take over a schedule as it was read; one that was never made has no state."""
        super().__init__(services.reactor)
        self._services = services
        self._keeper = keeper
        self.name = name
        self.state = past.state
        self._seq = past.seq
        self._wake_seq = past.wake_seq
        self._pending = 0
        """Appends that are not on the disk yet."""
        self._after: list[Callable[[], None]] = []
        """What must not overtake them."""
        self._asked: Callable[[Reply], None] | None = None
        """Who waits for the message that is being handled."""
        self._triggered: dict[str, Callable[[Reply], None]] = {}
        """Who waits for the start of which run."""
        self._left = False

    def __repr__(self) -> str:
        """Say which schedule it is."""
        return f"<ScheduleActor of {self.name}: {self._seq} events>"

    @override
    def on_receive(self, message: ScheduleInput | Asked) -> None:
        """Decide about one message, record it, and have the rest done after the commit."""
        if self._left:
            self._keeper.deliver(self.name, message)
            return
        happened, self._asked = (message.happened, message.answer) if isinstance(message, Asked) else (message, None)
        self._carry_out(decide_schedule(self.name, self.state, happened, self._services.clock()))

    @override
    def on_crash(self, error: BaseException) -> None:
        """A fault of the engine itself stops this schedule where a person can look, and no other."""
        logger.opt(exception=error).error("schedule {} stopped by a fault of the engine", self.name)
        reason = "a fault of the engine: " + "".join(traceback.format_exception_only(error)).strip()
        if (asked := self._asked) is not None:
            self._asked = None
            asked(Refused(code="unavailable", message=reason))
        now = self._services.clock()
        if self.state is not None and not self.state.paused:
            verdict = ScheduleDecision(self.name, self.state, now)
            verdict.add(SchedulePaused(at=now, reason=reason))
            self._carry_out(verdict)

    @property
    def working(self) -> bool:
        """Whether anything of it is on its way to the disk."""
        return self._pending > 0

    # ------------------------------------------------------------ record and apply

    def _carry_out(self, verdict: ScheduleDecision) -> None:
        asked, self._asked = self._asked, None
        if verdict.events:
            self.state = verdict.state
            self._append(verdict.events, partial(self._follow, verdict, asked))
        elif self._pending:
            self._after.append(partial(self._follow, verdict, asked))
        else:
            self._follow(verdict, asked)
        self._settle()

    def _append(self, events: list[AnyEvent], then: Callable[[], None]) -> None:
        state = self.state
        assert state is not None
        if self._seq + len(events) - self._wake_seq >= KEEP_AFTER:
            self._wake_seq = self._seq + len(events)
            events = [*events, ScheduleKept(at=self._services.clock(), state=state)]
        entry = entry_of(self.name)
        active = not (state.paused or state.deleted)
        append = Append(
            run_id=entry,
            expected=self._seq,
            events=events,
            row=row_of_schedule(entry, state, self._wake_seq),
            timers_set=[Timer(entry, TIMER, state.due)] if active else (),
            timers_cleared=() if active else (TIMER,),
            done=partial(self.reactor.call, self._committed, events, then),
        )
        self._seq += len(events)
        self._pending += 1
        self._services.journal.append(append)

    def _committed(self, events: list[AnyEvent], then: Callable[[], None], error: JournalError | None) -> None:
        """Events are on the disk: now others may see what follows from them. Reactor's thread."""
        self._pending -= 1
        if self.actor_stopped.is_set():
            return  # the orchestrator is closing; whoever opens the journal next goes on from here
        if error is not None:
            self._abandon(error)
            return
        assert self.state is not None
        for event in events:
            self._services.observe(entry_of(self.name), self.state.plan.workflow, event)
        self._services.directory.published(entry_of(self.name))
        then()
        if self._pending == 0:
            after, self._after = self._after, []
            for follow in after:
                follow()
        self._settle()

    def _abandon(self, error: JournalError) -> None:
        """What is believed here is not what the disk holds: leave it to an actor that reads it anew."""
        if self._left:
            return
        self._left = True
        self._keeper.forget(self.name, self.state)
        self.stop()
        if isinstance(error, SequenceConflict):
            self._keeper.deliver(self.name, do.Recover())
        else:
            self._services.fatal(error)

    # ------------------------------------------------------------ what follows

    def _follow(self, verdict: ScheduleDecision, asked: Callable[[Reply], None] | None) -> None:
        """Do what was decided, and tell who asked."""
        for order in verdict.orders:
            self._do(order)
        for event in verdict.events:
            self._tell_triggered(event)
        if asked is None:
            return
        if verdict.run_id and do.Start(verdict.run_id) in verdict.orders:
            self._triggered[verdict.run_id] = asked
        elif verdict.refused is None:
            asked(Accepted(run_id=verdict.run_id or self.name, created=verdict.created))
        else:
            asked(_refused(verdict.refused))

    def _do(self, order: ScheduleEffect) -> None:
        match order:
            case do.Start(run_id=run_id):
                assert self.state is not None
                self._keeper.start_run(self.name, run_id, self.state.plan)
            case do.Cancel(run_id=run_id, reason=reason):
                self._keeper.cancel_run(run_id, reason)
            case do.Look(run_id=run_id):
                self._keeper.look(self.name, run_id)
            case _:
                assert_never(order)

    def _tell_triggered(self, event: AnyEvent) -> None:
        """Whoever asked for a run learns whether it could be started."""
        match event:
            case ScheduleRunStarted(run_id=run_id) if run_id in self._triggered:
                self._triggered.pop(run_id)(Accepted(run_id=run_id))
            case ScheduleRunRefused(run_id=run_id, reason=reason) if run_id in self._triggered:
                self._triggered.pop(run_id)(Refused(code="invalid", message=reason))
            case _:
                pass

    def _settle(self) -> None:
        """Set the next moment; leave where there is nothing else to wait for."""
        if self._left:
            return
        state = self.state
        gone = state is None or state.deleted
        if state is not None:
            self._keeper.wait(self.name, None if state.paused or state.deleted else state.due)
        busy = state is not None and not state.deleted and (state.open or state.queued)
        if busy or self._pending or not self.actor_inbox.empty():
            return
        self._left = True
        self._keeper.forget(self.name, None if gone else state)
        self.stop()


def _refused(error: GreenroomError) -> Refused:
    return Refused(code="not_found" if isinstance(error, ScheduleNotFound) else "busy", message=str(error))
