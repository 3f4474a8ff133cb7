"""The handle of a schedule."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.actors.definitions.registry import known_workflow
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
from greenroom.messages.core.other_names import OtherNames
from greenroom.messages.core.times import iso
from greenroom.messages.events.schedules import FiringRecord, ScheduleRecord
from greenroom.messages.refusals import check, checked
from greenroom.workflows.api.handles.run import Run

if TYPE_CHECKING:
    from greenroom.workflows.api.handles.async_schedule import AsyncSchedule
    from greenroom.workflows.api.handles.twins import Twins

R = TypeVar("R")


class ScheduleHost(Protocol):
    """What a handle needs of the orchestrator it came from. Thread-safe."""

    def send(self, command: Command) -> Reply:
        """Execute a command."""
        ...

    def handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        """Return the handle of a run, which need not exist yet."""
        ...

    @property
    def twins(self) -> "Twins":
        """What makes the twins of handles."""
        ...


class Schedule(OtherNames, Generic[R]):
    """One schedule. Thread-safe. Everything it returns is committed."""

    def __init__(self, host: ScheduleHost, name: str, workflow: WorkflowDefinition | None) -> None:
        """Made by the orchestrator; without a workflow it looks for that itself."""
        self.name = name
        self._host = host
        self._workflow = workflow

    def __repr__(self) -> str:
        """Name the schedule, its status and its next time."""
        try:
            record = self.record
        except GreenroomError as error:  # printing it must not raise
            return f"<Schedule {self.name}: {error}>"
        due = f", next at {iso(record.next_times[0])}" if record.next_times else ""
        return f"<Schedule {self.name}: {record.status}{due}>"

    @property
    def record(self) -> ScheduleRecord:
        """Its plan, its next times, and the outcomes of the last ones.

        Raises:
            ScheduleNotFound: The schedule was deleted.
        """
        return self._look(5)

    @property
    def status(self) -> str:
        """``"active"`` or ``"paused"``."""
        return self.record.status

    @property
    def aio(self) -> "AsyncSchedule[R]":
        """Its twin for asynchronous code: everything that blocks here is awaited there."""
        return self._host.twins.schedule(self)

    def next_times(self, count: int = 5) -> list[datetime]:
        """Return the next times, in UTC; an empty list while the schedule is paused."""
        return list(self._look(count).next_times)

    def last_runs(self, limit: int = 20) -> list[FiringRecord]:
        """Return the outcomes of the last times, the newest first: 20 that are over, and all that run or wait."""
        return list(self._look(0).firings[:limit])

    def _look(self, count: int) -> ScheduleRecord:
        reply = check_schedule(self._host.send(checked(ListSchedules, name=self.name, moments=count)))
        assert isinstance(reply, Schedules)
        return shown(reply.schedules[0])

    def pause(self, reason: str | None = None) -> None:
        """Start no run until ``resume``. Returns once that is committed; running runs do not change."""
        check_schedule(self._host.send(checked(PauseSchedule, name=self.name, reason=reason)))

    def resume(self) -> None:
        """Resume the schedule; runs for times that passed meanwhile are started as ``catch_up`` allows."""
        check_schedule(self._host.send(ResumeSchedule(name=self.name)))

    def trigger(self, key: str | None = None) -> Run[R]:
        """Start a run now, whether the schedule is paused or not. Returns once the request is committed.

        If the overlap policy queues it behind an earlier run, the run exists once that has ended; until then its
        handle raises ``RunNotFound``.

        Args:
            key: Idempotency key: a request with the key of an earlier one starts no run and returns that run.

        Raises:
            ScheduleBusy: The overlap policy is to skip and an earlier run has not ended, or too many runs wait.
            InvalidInput: The workflow cannot be loaded, or the arguments no longer fit it.
        """
        workflow = self._workflow
        if workflow is None:
            record = self._look(0)
            workflow = known_workflow(record.app, record.workflow)
        reply = check_schedule(self._host.send(checked(TriggerSchedule, name=self.name, key=key)))
        assert isinstance(reply, Accepted)
        return self._host.handle(reply.run_id, workflow)

    def delete(self) -> None:
        """Delete the schedule. Returns once that is committed; running runs do not change, queued ones never start."""
        check_schedule(self._host.send(DeleteSchedule(name=self.name)))


def check_schedule(reply: Reply) -> Reply:
    """Return a reply about a schedule, or raise the error of a refusal."""
    if isinstance(reply, Refused) and reply.code == "not_found":
        raise ScheduleNotFound(reply.message)
    return check(reply)
