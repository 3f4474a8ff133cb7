"""The methods for schedules that ``Orchestrator`` and ``Client`` share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.messages.commands import Command, ListSchedules, PutSchedule, Reply, Schedules
from greenroom.messages.core.errors import InvalidInput
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import Seconds
from greenroom.messages.events.schedules import Overlap, Plan, ScheduleRecord
from greenroom.messages.options.policy import Budget
from greenroom.messages.refusals import checked
from greenroom.workflows.api.handles.run import Run
from greenroom.workflows.api.handles.schedule import Schedule, check_schedule
from greenroom.workflows.authoring.workflow import Workflow, check_workflow, refuse_twofold

if TYPE_CHECKING:
    from greenroom.workflows.api.handles.twins import Twins

R = TypeVar("R")


class ScheduleMethods(ABC):
    """Methods that make and read schedules by commands."""

    @abstractmethod
    def send(self, command: Command) -> Reply:
        """Execute a command."""

    @abstractmethod
    def handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        """Return the handle of a run, which need not exist yet."""

    @property
    @abstractmethod
    def twins(self) -> "Twins":
        """What makes the twins of handles."""

    def _put_schedule(self, command: PutSchedule) -> Reply:
        """Make or change a schedule with valid arguments."""
        return self.send(command)

    def schedule(
        self,
        name: str,
        workflow: Workflow[..., R],
        /,
        *args: Any,
        cron: str | None = None,
        every: Seconds | None = None,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        catch_up: Seconds = 60.0,
        **kwargs: Any,
    ) -> Schedule[R]:
        """Start a workflow again and again. Returns once the schedule is committed.

        Repeating a call changes nothing, so a script may make its schedules at every start. A call with other values
        changes the schedule from now on, and leaves it paused or active.

        Args:
            name: Identity of the schedule: letters, digits, ``.``, ``_`` and ``-``. The id of a run is made of it and
                the time at which the run is due, such as ``nightly~20261122T030000Z``.
            workflow: The workflow.
            args: Its arguments, the same for every run.
            cron: Times: minute, hour, day of the month, month and weekday, or six fields with seconds first, or
                a name such as ``"@daily"``.
            every: Seconds, or a ``timedelta``, between two times, counted from when it was made. At least 1 s.
            timezone: Time zone of ``cron``, such as ``"Europe/Berlin"``.
            overlap: What to do when a run is due before an earlier one has ended: ``"skip"`` it, ``"queue"`` it,
                ``"allow"`` it, or ``"cancel"`` the earlier run and start it after that.
            catch_up: Seconds after which a missed time is skipped. A time is missed while no orchestrator runs or the
                schedule is paused.
            kwargs: Keyword arguments of the workflow. Pass its parameters that have the name of an option by position.

        Raises:
            InvalidInput: The arguments do not fit the workflow, or the times are not valid; every fault is named.
            DefinitionError: Workers cannot find the workflow where it is defined.
            OrchestratorClosed: The orchestrator has stopped.
            TypeError: ``workflow`` is not a workflow, or an option is also the name of one of its parameters.
            ValueError: The name is not valid.
        """
        check_workflow(workflow)
        options = {"cron": cron, "every": every, "timezone": timezone, "overlap": overlap, "catch_up": catch_up}
        usual = {"timezone": "UTC", "overlap": "skip", "catch_up": 60.0}
        given = {option: value for option, value in options.items() if value != usual.get(option)}
        refuse_twofold("schedule", workflow, args, given)
        plan = _plan(
            app=workflow.definition.app,
            workflow=workflow.name,
            arguments=workflow.bind(*args, **kwargs),
            cron=cron,
            every=every,
            timezone=timezone,
            overlap=overlap,
            catch_up=catch_up,
            budget=workflow.budget,
        )
        from greenroom.workflows.schedules.queries import schedule_name  # noqa: PLC0415  it imports the fold of schedules

        command = PutSchedule(name=schedule_name(name), plan=plan)
        check_schedule(self._put_schedule(command))
        return Schedule(self, name, workflow.definition)

    def get_schedule(self, name: str) -> Schedule[Any]:
        """Return the handle of an existing schedule.

        Raises:
            ScheduleNotFound: There is no schedule with this name.
        """
        check_schedule(self.send(checked(ListSchedules, name=name, moments=0)))
        return Schedule(self, name, None)

    def schedules(self) -> list[ScheduleRecord]:
        """Return every schedule, by name."""
        reply = check_schedule(self.send(ListSchedules()))
        assert isinstance(reply, Schedules)
        return list(shown(reply.schedules))


def _plan(  # noqa: PLR0913  the options of a schedule
    *,
    app: str,
    workflow: str,
    arguments: Mapping[str, Json],
    cron: str | None,
    every: Seconds | None,
    timezone: str,
    overlap: Overlap,
    catch_up: Seconds,
    budget: Budget | None,
) -> Plan:
    """Return the plan of a schedule with the given options.

    Raises:
        InvalidInput: Options have invalid values; every one is named.
    """
    try:
        return Plan.model_validate(
            {
                "app": app,
                "workflow": workflow,
                "arguments": dict(arguments),
                "cron": cron,
                "every": every,
                "timezone": timezone,
                "overlap": overlap,
                "catch_up": catch_up,
                "budget": budget,
            }
        )
    except ValidationError as error:
        wrong = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
        msg = f"this is not a schedule: {'; '.join(f'{field}: {sentence}' for field, sentence in wrong)}"
        raise InvalidInput(msg, tuple(wrong)) from None
