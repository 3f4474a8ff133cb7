"""The handle of a schedule in asynchronous code."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from greenroom.workflows.api.handles.async_run import AsyncRun
from greenroom.workflows.api.handles.schedule import Schedule
from greenroom.workflows.api.handles.twin import Twin, awaited

if TYPE_CHECKING:
    from greenroom.messages.events.schedules import ScheduleRecord
    from greenroom.workflows.api.threads import Threads

R = TypeVar("R")


class AsyncSchedule(Twin[Schedule[R]], Generic[R]):
    """One schedule, for asyncio: a ``Schedule`` whose reads and commands are awaited and block no event loop.

    Attributes:
        name: Name of the schedule.
        plain: The same schedule for code that may block.
    """

    def __init__(self, schedule: Schedule[R], threads: "Threads") -> None:
        """Made by ``AsyncOrchestrator``, ``AsyncClient`` and ``Schedule.aio``."""
        super().__init__(schedule, threads)
        self.name = schedule.name

    def __repr__(self) -> str:
        """Name the schedule; its next time has to be awaited."""
        return f"<AsyncSchedule {self.name}>"

    @property
    def record(self) -> "Coroutine[Any, Any, ScheduleRecord]":
        """Its plan, next times and last runs: ``await schedule.record``."""
        return self._call(lambda: self.plain.record)

    @property
    def status(self) -> Coroutine[Any, Any, str]:
        """``"active"`` or ``"paused"``: ``await schedule.status``."""
        return self._call(lambda: self.plain.status)

    async def trigger(self, key: str | None = None) -> AsyncRun[R]:
        """Start a run now; see ``Schedule.trigger``."""
        return AsyncRun(await self._call(lambda: self.plain.trigger(key)))

    next_times = awaited(Schedule[Any].next_times)
    last_runs = awaited(Schedule[Any].last_runs)
    pause = awaited(Schedule[Any].pause)
    resume = awaited(Schedule[Any].resume)
    delete = awaited(Schedule[Any].delete)
