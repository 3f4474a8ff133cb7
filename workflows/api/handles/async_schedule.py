"""The handle on a schedule in asynchronous code."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from greenroom.workflows.api.handles.async_run import AsyncRun
from greenroom.workflows.api.handles.schedule import Schedule

if TYPE_CHECKING:
    from datetime import datetime

    from greenroom.messages.events.schedules import FiringRecord, ScheduleRecord
    from greenroom.workflows.api.threads import Threads

R = TypeVar("R")


class AsyncSchedule(Generic[R]):
    """One schedule, for asyncio: a ``Schedule`` whose every look and command is awaited, and blocks no event loop.

    Attributes:
        name: Of the schedule.
        plain: The same schedule for code that may block.
    """

    def __init__(self, schedule: Schedule[R], threads: "Threads") -> None:
        """Made by ``AsyncOrchestrator``, ``AsyncClient`` and ``Schedule.aio``."""
        self.name = schedule.name
        self.plain = schedule
        self._call = threads.call

    def __repr__(self) -> str:
        """Say which one it is; when it is due has to be awaited."""
        return f"<AsyncSchedule {self.name}>"

    @property
    def record(self) -> "Coroutine[Any, Any, ScheduleRecord]":
        """What there is to know of it: ``await schedule.record``."""
        return self._call(lambda: self.plain.record)

    @property
    def status(self) -> Coroutine[Any, Any, str]:
        """``"active"`` or ``"paused"``: ``await schedule.status``."""
        return self._call(lambda: self.plain.status)

    async def next_times(self, count: int = 5) -> "list[datetime]":
        """Give the next moments; see ``Schedule.next_times``."""
        return await self._call(self.plain.next_times, count)

    async def last_runs(self, limit: int = 20) -> "list[FiringRecord]":
        """Give what became of the last moments; see ``Schedule.last_runs``."""
        return await self._call(self.plain.last_runs, limit)

    async def pause(self, reason: str | None = None) -> None:
        """Start nothing until ``resume``; see ``Schedule.pause``."""
        await self._call(self.plain.pause, reason)

    async def resume(self) -> None:
        """Go on; see ``Schedule.resume``."""
        await self._call(self.plain.resume)

    async def trigger(self) -> AsyncRun[R]:
        """Start a run now; see ``Schedule.trigger``."""
        return AsyncRun(await self._call(self.plain.trigger))

    async def delete(self) -> None:
        """Be no more; see ``Schedule.delete``."""
        await self._call(self.plain.delete)
