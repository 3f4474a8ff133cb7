"""The registry of schedules: those in memory, the times when others are loaded, and their unfinished runs.

A schedule that waits for its next time is an entry in a heap of times, with one timer for all of them. An actor for it
is created from the journal when it is due or a command for it comes. The actor stays while a run is unfinished.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from loguru import logger
from typing_extensions import override

from greenroom.journal.interface import Journal, RunRow
from greenroom.messages.commands import Accepted, PutSchedule, Refused, Reply, StartRun
from greenroom.messages.events.schedules import Plan, ScheduleState
from greenroom.messages.records.records import ENDED
from greenroom.messages.refusals import arguments_too_long
from greenroom.supervision.loop.clock import Alarm
from greenroom.workflows.decisions.inputs import Cancel
from greenroom.workflows.event_sourced.registry import CLOSED, ActorRegistry
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.scheduler.actor import Asked, ScheduleActor
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.decide import ScheduleInput
from greenroom.workflows.schedules.next_times import faults
from greenroom.workflows.schedules.queries import StoredSchedule, load, name_of, schedule_name
from greenroom.workflows.state.run_state import RunState

LOOK: Final = 30.0
"""Seconds between two checks of the wall clock, which may have been set, or the machine may have slept."""

Start: TypeAlias = Callable[[StartRun], Awaitable[Reply]]
"""Starts a run if its arguments fit."""


class ScheduleRegistry(ActorRegistry[ScheduleActor, ScheduleInput | Asked, StoredSchedule]):
    """Keeps the actors of schedules. Reactor thread only, unless a method says otherwise; nothing here blocks."""

    def __init__(self) -> None:
        """Start without any schedule; ``attach`` must follow."""
        super().__init__()
        self._dependencies: RunDependencies
        self._runs: RunRegistry
        self._start: Start
        self._dues: dict[str, float] = {}
        """Next time of each schedule that has one, in memory or not."""
        self._heap: list[tuple[float, str]] = []
        """The same times, soonest first, including outdated entries."""
        self._alarm: tuple[float, Alarm] | None = None
        self._looking: asyncio.TimerHandle | None = None
        """Timer of the next check of the clock, which may have been set so that the alarm timer is wrong."""
        self._owners: dict[str, str] = {}
        """Schedules by their unfinished runs."""

    def attach(self, dependencies: RunDependencies, runs: RunRegistry, start: Start) -> None:
        """Keep the orchestrator's parts. Called once, before all other methods, in any thread."""
        self._dependencies = dependencies
        self._reactor = dependencies.reactor
        self._runs = runs
        self._start = start
        runs.subscribers.on_every_end(self._run_ended)

    @property
    def journal(self) -> Journal:
        """The journal of the schedules. Thread-safe."""
        return self._dependencies.journal

    def statistics(self) -> dict[str, int]:
        """Return the numbers of schedules in memory, of schedules that wait for a time, and of awaited runs."""
        return {"live": len(self._live), "due": len(self._dues), "runs": len(self._owners)}

    @override
    def working(self) -> bool:
        return bool(self._tasks) or super().working()

    # ------------------------------------------------------------ commands

    async def put(self, wanted: PutSchedule) -> Reply:
        """Create a schedule, or change its plan. Return after the commit."""
        name, plan = wanted.name, wanted.plan
        wrong = faults(plan)
        if (long := arguments_too_long(plan.arguments)) is not None:
            wrong.append(long.message)
        try:
            schedule_name(name)
        except ValueError as error:
            wrong.insert(0, str(error))
        if wrong:
            return Refused(code="invalid", message=f"schedule {name!r} cannot be: {'; '.join(wrong)}")
        return await self.ask(name, do.Put(plan))

    async def ask(self, name: str, happened: ScheduleInput) -> Reply:
        """Send a message to a schedule, and return its reply after the commit."""
        if self._closed:
            return Refused(code="closed", message=CLOSED)
        reply: asyncio.Future[Reply] = self._reactor.loop.create_future()

        def answer(given: Reply) -> None:
            if not reply.done():
                reply.set_result(given)

        self.route(name, Asked(happened, answer))
        return await reply

    # ------------------------------------------------------------ reading

    @override
    def _load(self, name: str) -> StoredSchedule:
        return load(self._dependencies.journal, name)

    @override
    def _loaded(self, name: str, past: StoredSchedule) -> None:
        waiting = self._loading.pop(name)
        ref = self._live[name] = ScheduleActor.start(self._dependencies, self, name, past)
        ref.tell(do.Recover())
        for message in waiting:
            ref.tell(message)

    @override
    def _unreadable(self, name: str, waiting: list[ScheduleInput | Asked], error: Exception) -> None:
        if not self._closed:
            logger.error("schedule {} is set aside, it cannot be read: {}", name, error)
        for message in waiting:
            if isinstance(message, Asked):
                message.answer(Refused(code="unavailable", message=str(error)))

    def recover(self) -> None:
        """Continue all schedules of the journal: those with unfinished runs at once, the others when they are due."""
        self.begin(self._recover())

    async def _recover(self) -> None:
        rows, dues = await self.read(partial(_read_all, self._dependencies.journal))
        for row in rows:
            name = name_of(row.id)
            if row.status == "waiting" and row.id in dues:
                self.wait(name, dues[row.id])
            elif row.status not in ENDED:
                self.route(name, do.Recover())

    # ------------------------------------------------------------ time

    def wait(self, name: str, due: float | None) -> None:
        """Wake a schedule at ``due``, and at no other time."""
        if due is None:
            self._dues.pop(name, None)
        elif self._dues.get(name) != due:
            self._dues[name] = due
            heapq.heappush(self._heap, (due, name))
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Set the single alarm to the soonest time."""
        heap = self._heap
        while heap and self._dues.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        due = heap[0][0] if heap and not self._closed else None
        if self._alarm is not None and self._alarm[0] != due:
            self._alarm[1].cancel()
            self._alarm = None
        if due is not None and self._alarm is None:
            self._alarm = (due, self._dependencies.call_at(due, self._ring))
        if due is not None and self._looking is None:
            self._looking = self._reactor.loop.call_later(LOOK, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """Check whether a schedule is due although its timer has not fired, because the clock was set meanwhile."""
        self._looking = None
        self._ring()

    def _ring(self) -> None:
        if self._alarm is not None:
            self._alarm[1].cancel()
            self._alarm = None
        now = self._dependencies.clock()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._dues.get(name) == due:
                del self._dues[name]
                self.route(name, do.Tick())
        self._set_alarm()

    # ------------------------------------------------------------ runs of schedules

    def start_run(self, name: str, run_id: str, plan: Plan) -> None:
        """See ``Registry``."""
        self._owners[run_id] = name
        self.begin(self._start_run(name, run_id, plan))

    async def _start_run(self, name: str, run_id: str, plan: Plan) -> None:
        command = StartRun(
            run_id=run_id, app=plan.app, workflow=plan.workflow, arguments=plan.arguments, budget=plan.budget
        )
        reply = await self._start(command)
        if isinstance(reply, Refused) and reply.code in {"closed", "unavailable"}:
            return  # the result is unknown: the next orchestrator of the journal tries again
        if isinstance(reply, Refused) and reply.code != "conflict":
            self._owners.pop(run_id, None)  # it is gone already if the same start was asked for twice
            self.route(name, do.NotStarted(run_id, reply.message))
            return
        # A conflict is a run of this id that was started before the plan was changed.
        self.route(name, do.Started(run_id))
        if not isinstance(reply, Accepted) or not reply.created:
            await self._look(name, run_id)

    def cancel_run(self, run_id: str, reason: str) -> None:
        """See ``Registry``."""
        self._runs.route(run_id, Cancel(reason))

    def look(self, name: str, run_id: str) -> None:
        """See ``Registry``."""
        self.begin(self._look(name, run_id))

    async def _look(self, name: str, run_id: str) -> None:
        self._owners[run_id] = name
        row = await self.read(partial(self._dependencies.journal.run, run_id))
        match row.status if row is not None else None:
            case "completed" | "failed" | "cancelled" as status:
                self._owners.pop(run_id, None)
                self.route(name, do.Ended(run_id, status))
            case _:
                pass  # the run is unfinished, and ``_run_ended`` is called at its end

    def _run_ended(self, state: RunState) -> None:
        match state.ended:
            case "completed" | "failed" | "cancelled" as status:
                if (name := self._owners.pop(state.run_id, None)) is not None:
                    self.route(name, do.Ended(state.run_id, status))
            case _:
                pass  # the run is parked until a user resumes it

    def forget(self, name: str, state: ScheduleState | None) -> None:
        """Drop a schedule from memory; it is read again when it is due, or for its next message."""
        self._live.pop(name, None)
        if state is None or state.deleted:
            self.wait(name, None)
            for run_id in [run_id for run_id, owner in self._owners.items() if owner == name]:
                del self._owners[run_id]

    @override
    def close(self) -> None:
        super().close()
        self._set_alarm()
        if self._looking is not None:
            self._looking.cancel()
        for task in self._tasks:
            task.cancel()


def _read_all(journal: Journal) -> tuple[list[RunRow], dict[str, float]]:
    """Return the index rows of all schedules, and when each is due. Blocks."""
    rows = journal.runs(kind="schedule", limit=None)
    return rows, {timer.run_id: timer.due for timer in journal.timers()} if rows else {}
