"""The schedules of an orchestrator: which are in memory, when the others are woken, and who hears of their runs.

A schedule that waits for its next moment is an entry in a list of moments, with one alarm for all of them. When it is
due, somebody asks for something, or a run of it goes on, it is an actor, read from the journal.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias, TypeVar

from loguru import logger

from greenroom.journal.interface import Journal, RunRow
from greenroom.messages.commands import Accepted, PutSchedule, Refused, Reply, StartRun
from greenroom.messages.core.errors import CodecError, JournalError
from greenroom.messages.events.schedules import Plan, ScheduleState
from greenroom.messages.records import ENDED
from greenroom.supervision.loop.actor import LoopRef, actor_of
from greenroom.workflows.clock import Alarm
from greenroom.workflows.decisions.inputs import Cancel
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.registry import CLOSED, RunRegistry
from greenroom.workflows.scheduler.actor import Asked, ScheduleActor
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.decide import ScheduleInput
from greenroom.workflows.schedules.queries import StoredSchedule, load, name_of, schedule_name
from greenroom.workflows.schedules.recurrence import faults
from greenroom.workflows.size_limits import arguments_too_long
from greenroom.workflows.state.run_state import RunState

LOOK: Final = 30.0
"""Seconds after which the wall clock is looked at again: it may have been set, or the machine may have slept."""

Answer: TypeAlias = Callable[[Reply], None]
Begin: TypeAlias = Callable[[StartRun], Awaitable[Reply]]
T = TypeVar("T")


class Schedules:
    """Keeps the schedules. All methods run on the reactor's thread unless they say otherwise; none blocks."""

    def __init__(self) -> None:
        """Begin without any; ``attach`` must follow."""
        self._services: RunDependencies
        self._runs: RunRegistry
        self._begin: Begin
        self._live: dict[str, LoopRef[ScheduleActor]] = {}
        self._loading: dict[str, list[ScheduleInput | Asked]] = {}
        """What came for schedules that are being read."""
        self._dues: dict[str, float] = {}
        """Next moment of each that has one, whether it is in memory or not."""
        self._heap: list[tuple[float, str]] = []
        """The same, soonest first, with entries that hold no longer."""
        self._alarm: tuple[float, Alarm] | None = None
        self._looking: asyncio.TimerHandle | None = None
        """The next look at a clock that may have gone where no alarm was."""
        self._reading = 0
        """Reads under way."""
        self._owners: dict[str, str] = {}
        """Schedules by the runs of theirs that go on."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def attach(self, services: RunDependencies, runs: RunRegistry, begin: Begin) -> None:
        """Get to know the orchestrator; ``begin`` starts a run if its arguments fit. Any thread, once, before all."""
        self._services = services
        self._runs = runs
        self._begin = begin
        runs.watchers.hear_of_ends(self._run_ended)

    @property
    def journal(self) -> Journal:
        """Where schedules are written down. Any thread."""
        return self._services.journal

    def statistics(self) -> dict[str, int]:
        """Count schedules in memory, those that wait for a moment, and runs that are waited for."""
        return {"live": len(self._live), "due": len(self._dues), "runs": len(self._owners)}

    def working(self) -> bool:
        """Say whether anything of a schedule is under way, or is itself on its way to or from the journal."""
        if self._reading or self._tasks:
            return True
        return any((actor := actor_of(ref)) is not None and actor.working for ref in self._live.values())

    # ------------------------------------------------------------ asking

    def put(self, wanted: PutSchedule, answer: Answer) -> None:
        """See to it that there is a schedule with this plan; ``answer`` is called once that is on the disk."""
        name, plan = wanted.name, wanted.plan
        wrong = faults(plan)
        if (long := arguments_too_long(plan.arguments)) is not None:
            wrong.append(long.message)
        try:
            schedule_name(name)
        except ValueError as error:
            wrong.insert(0, str(error))
        if wrong:
            answer(Refused(code="invalid", message=f"schedule {name!r} cannot be: {'; '.join(wrong)}"))
        else:
            self.ask(name, do.Put(plan), answer)

    def ask(self, name: str, happened: ScheduleInput, answer: Answer) -> None:
        """Bring a wish to a schedule; ``answer`` is called once what it led to is on the disk."""
        if self._closed:
            answer(Refused(code="closed", message=CLOSED))
        else:
            self.deliver(name, Asked(happened, answer))

    def deliver(self, name: str, message: ScheduleInput | Asked) -> None:
        """Bring a message to a schedule, which is read from the journal where it is not in memory."""
        if (ref := self._live.get(name)) is not None:
            ref.tell(message)
        elif (waiting := self._loading.get(name)) is not None:
            waiting.append(message)
        elif not self._closed:
            self._loading[name] = [message]
            self._read(partial(load, self._services.journal, name), partial(self._loaded, name), name)

    def _loaded(self, name: str, past: StoredSchedule) -> None:
        waiting = self._loading.pop(name)
        ref = self._live[name] = ScheduleActor.start(self._services, self, name, past)
        ref.tell(do.Recover())
        for message in waiting:
            ref.tell(message)

    def _unreadable(self, name: str, error: BaseException) -> None:
        logger.error("schedule {} is set aside, it cannot be read: {}", name, error)
        for message in self._loading.pop(name, []):
            if isinstance(message, Asked):
                message.answer(Refused(code="unavailable", message=str(error)))

    # ------------------------------------------------------------ recovery

    def recover(self) -> None:
        """Take up every schedule of the journal: those with runs at once, the others at their moments."""

        def found(schedules: tuple[list[RunRow], dict[str, float]]) -> None:
            rows, dues = schedules
            for row in rows:
                name = name_of(row.id)
                if row.status == "waiting" and row.id in dues:
                    self.wait(name, dues[row.id])
                elif row.status not in ENDED:
                    self.deliver(name, do.Recover())

        def read() -> tuple[list[RunRow], dict[str, float]]:
            rows = self._services.journal.runs(kind="schedule", limit=None)
            return rows, {timer.run_id: timer.due for timer in self._services.journal.timers()} if rows else {}

        self._read(read, found, None)

    # ------------------------------------------------------------ time

    def wait(self, name: str, due: float | None) -> None:
        """Wake a schedule at ``due``, and at no other moment."""
        if due is None:
            self._dues.pop(name, None)
        elif self._dues.get(name) != due:
            self._dues[name] = due
            heapq.heappush(self._heap, (due, name))
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Set the one alarm for the soonest moment."""
        heap = self._heap
        while heap and self._dues.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        due = heap[0][0] if heap and not self._closed else None
        if self._alarm is not None and self._alarm[0] != due:
            self._alarm[1].cancel()
            self._alarm = None
        if due is not None and self._alarm is None:
            self._alarm = (due, self._services.call_at(due, self._ring))
        if due is not None and self._looking is None:
            self._looking = self._services.reactor.loop.call_later(LOOK, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """See whether a moment has come although no alarm rang: waiting does not notice that the clock was set."""
        self._looking = None
        self._ring()

    def _ring(self) -> None:
        if self._alarm is not None:
            self._alarm[1].cancel()
            self._alarm = None
        now = self._services.clock()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._dues.get(name) == due:
                del self._dues[name]
                self.deliver(name, do.Tick())
        self._set_alarm()

    # ------------------------------------------------------------ what schedules ask for

    def start_run(self, name: str, run_id: str, plan: Plan) -> None:
        """Start a run by its id, or find it; the schedule hears of that, and of its end."""
        self._owners[run_id] = name
        task = self._services.reactor.loop.create_task(self._start_run(name, run_id, plan))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_run(self, name: str, run_id: str, plan: Plan) -> None:
        command = StartRun(
            run_id=run_id, app=plan.app, workflow=plan.workflow, arguments=plan.arguments, budget=plan.budget
        )
        reply = await self._begin(command)
        if isinstance(reply, Refused) and reply.code in {"closed", "unavailable"}:
            return  # nothing is known of the run: whoever opens the journal next tries again
        if isinstance(reply, Refused) and reply.code != "conflict":
            self._owners.pop(run_id, None)  # gone where the same start was asked for twice
            self.deliver(name, do.NotStarted(run_id, reply.message))
            return
        # A conflict is a run of this id that was started before the plan was changed.
        self.deliver(name, do.Started(run_id))
        if not isinstance(reply, Accepted) or not reply.created:
            self.look(name, run_id)

    def cancel_run(self, run_id: str, reason: str) -> None:
        """Ask a run to end early."""
        self._runs.route(run_id, Cancel(reason))

    def look(self, name: str, run_id: str) -> None:
        """Tell the schedule of a run's end, now where that has come already."""
        self._owners[run_id] = name

        def found(row: RunRow | None) -> None:
            match row.status if row is not None else None:
                case "completed" | "failed" | "cancelled" as status:
                    self._owners.pop(run_id, None)
                    self.deliver(name, do.Ended(run_id, status))
                case _:
                    pass  # it goes on, and its end will be heard of

        self._read(lambda: self._services.journal.run(run_id), found, None)

    def _run_ended(self, state: RunState) -> None:
        match state.ended:
            case "completed" | "failed" | "cancelled" as status:
                if (name := self._owners.pop(state.run_id, None)) is not None:
                    self.deliver(name, do.Ended(state.run_id, status))
            case _:
                pass  # it is parked: it goes on once a person has looked

    def forget(self, name: str, state: ScheduleState | None) -> None:
        """Drop a schedule from memory; it is read again when it is due, or somebody asks for something."""
        self._live.pop(name, None)
        if state is None or state.deleted:
            self.wait(name, None)
            for run_id in [run_id for run_id, owner in self._owners.items() if owner == name]:
                del self._owners[run_id]

    # ------------------------------------------------------------ plumbing

    def _read(self, job: Callable[[], T], then: Callable[[T], None], name: str | None) -> None:
        """Run ``job`` in a thread and ``then`` with its result on the reactor."""

        def finished(future: "asyncio.Future[T]") -> None:
            self._reading -= 1
            if future.cancelled() or self._closed:
                return
            error = future.exception()
            if error is None:
                then(future.result())
            elif name is not None and isinstance(error, (JournalError, CodecError, ValueError)):
                self._unreadable(name, error)
            else:
                logger.opt(exception=error).error("the journal cannot be read")

        self._reading += 1
        self._services.reactor.loop.run_in_executor(None, job).add_done_callback(finished)

    def close(self) -> None:
        """Stop every schedule where it stands."""
        self._closed = True
        self._set_alarm()
        if self._looking is not None:
            self._looking.cancel()
        for ref in self._live.values():
            ref.silence()
        self._live.clear()
        for task in self._tasks:
            task.cancel()
