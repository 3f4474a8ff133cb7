"""The handle on a schedule, and the making of one."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from greenroom.actors.definitions.definitions import WorkflowDefinition, known_workflow
from greenroom.messages.commands import (
    Accepted,
    Command,
    DeleteSchedule,
    ListSchedules,
    PauseSchedule,
    Refused,
    Reply,
    ResumeSchedule,
    Schedules,
    TriggerSchedule,
)
from greenroom.messages.core.errors import (
    GreenroomError,
    ScheduleNotFound,
)
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.times import iso
from greenroom.messages.events.schedules import FiringRecord, ScheduleRecord
from greenroom.workflows.api.handles.run import Run, check
from greenroom.workflows.api.threads import Threads

if TYPE_CHECKING:
    from greenroom.workflows.api.handles.async_schedule import AsyncSchedule

R = TypeVar("R")


class ScheduleHost(Protocol):
    """What a handle needs of the orchestrator it came from. Any thread."""

    def send(self, command: Command) -> Reply:
        """Carry out a command."""
        ...

    def handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        """Give the handle of a run, which need not be there yet."""
        ...

    @property
    def threads(self) -> Threads:
        """Where short calls are made for event loops."""
        ...


class Schedule(Generic[R]):
    """One schedule. May be used from any thread. Everything it shows is committed."""

    def __init__(self, host: ScheduleHost, name: str, workflow: WorkflowDefinition | None) -> None:
        """Made by the orchestrator; it looks for the workflow itself where it is given none."""
        self.name = name
        self._host = host
        self._workflow = workflow

    def __repr__(self) -> str:
        """Say whether it is active, and when it is due."""
        try:
            record = self.record
        except GreenroomError as error:  # a closed or broken journal must not break who only wants to print it
            return f"<Schedule {self.name}: {error}>"
        due = f", next at {iso(record.next_times[0])}" if record.next_times else ""
        return f"<Schedule {self.name}: {record.status}{due}>"

    @property
    def record(self) -> ScheduleRecord:
        """What there is to know of it: its plan, its next moments, and what became of the last ones.

        Raises:
            ScheduleNotFound: It was deleted.
        """
        return self._look(5)

    @property
    def status(self) -> str:
        """``"active"`` or ``"paused"``."""
        return self.record.status

    @property
    def aio(self) -> "AsyncSchedule[R]":
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        from greenroom.workflows.api.handles.async_schedule import AsyncSchedule  # noqa: PLC0415  for asyncio alone

        return AsyncSchedule(self, self._host.threads)

    def next_times(self, count: int = 5) -> list[datetime]:
        """Give the next moments, in UTC; none while it is paused."""
        return list(self._look(count).next_times)

    def last_runs(self, limit: int = 20) -> list[FiringRecord]:
        """Give what became of the last moments, the newest first: 20 that are over, and all that go on or wait."""
        return list(self._look(0).firings[:limit])

    def _look(self, count: int) -> ScheduleRecord:
        reply = check_schedule(self._host.send(ListSchedules(name=self.name, moments=count)))
        assert isinstance(reply, Schedules)
        return shown(reply.schedules[0])

    def pause(self, reason: str | None = None) -> None:
        """Start nothing until ``resume``; returns once that is on the disk. Runs that go on are not touched."""
        check_schedule(self._host.send(PauseSchedule(name=self.name, reason=reason)))

    def resume(self) -> None:
        """Go on; moments that passed meanwhile are made up for as ``catch_up`` says."""
        check_schedule(self._host.send(ResumeSchedule(name=self.name)))

    def trigger(self) -> Run[R]:
        """Start a run now, paused or not; returns once it is on the disk.

        Where the overlap policy lets it wait for an earlier run, the run is there once that one has ended: until then
        its handle raises ``RunNotFound``.

        Raises:
            ScheduleBusy: The overlap policy is to skip and an earlier run goes on, or too many wait.
            InvalidInput: The workflow cannot be loaded, or the arguments no longer fit it.
        """
        workflow = self._workflow
        if workflow is None:
            record = self._look(0)
            workflow = known_workflow(record.app, record.workflow)
        reply = check_schedule(self._host.send(TriggerSchedule(name=self.name)))
        assert isinstance(reply, Accepted)
        return self._host.handle(reply.run_id, workflow)

    def delete(self) -> None:
        """Be no more; returns once that is on the disk. Runs that go on are not touched; queued ones never start."""
        check_schedule(self._host.send(DeleteSchedule(name=self.name)))


def check_schedule(reply: Reply) -> Reply:
    """Pass a reply about a schedule on, or raise what it refuses with."""
    if isinstance(reply, Refused) and reply.code == "not_found":
        raise ScheduleNotFound(reply.message)
    return check(reply)
