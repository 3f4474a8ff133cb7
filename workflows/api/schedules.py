"""The making and finding of schedules: what an orchestrator and whatever speaks for it from elsewhere share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from greenroom.actors.definitions.definitions import WorkflowDefinition
from greenroom.messages.commands import Command, ListSchedules, PutSchedule, Reply, Schedules
from greenroom.messages.core.errors import InvalidInput
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import Seconds
from greenroom.messages.events.schedules import Overlap, Plan, ScheduleRecord
from greenroom.messages.policy import Budget
from greenroom.workflows.api.handles.run import Run
from greenroom.workflows.api.handles.schedule import Schedule, check_schedule
from greenroom.workflows.api.threads import Threads
from greenroom.workflows.authoring.workflow import Workflow, check_workflow, refuse_twofold
from greenroom.workflows.schedules.queries import schedule_name

R = TypeVar("R")


class ScheduleMethods(ABC):
    """Everything about schedules that is made of commands."""

    @abstractmethod
    def send(self, command: Command) -> Reply:
        """Carry out a command."""

    @abstractmethod
    def handle(self, run_id: str, workflow: WorkflowDefinition | None) -> Run[Any]:
        """Give the handle of a run, which need not be there yet."""

    @property
    @abstractmethod
    def threads(self) -> Threads:
        """Where short calls are made for event loops."""

    def _put_schedule(self, command: PutSchedule) -> Reply:
        """Make or change a schedule whose arguments are known to fit."""
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
        """Have a workflow started again and again; returns once that is on the disk.

        The same call again changes nothing, so a script may make its schedules at every start. One with other values
        changes the schedule from now on; whether it is paused stays as it is.

        Args:
            name: Identity of the schedule: letters, digits, ``.``, ``_`` and ``-``. Ids of its runs are made of it and
                the moment at which each is due, such as ``nightly~20261122T030000Z``.
            workflow: What to run.
            args: Its arguments, the same for every run.
            cron: When: minute, hour, day of the month, month and weekday, or six fields with seconds first.
            every: When: so many seconds after the schedule was made, or such a ``timedelta``, and so on. At least 1 s.
            timezone: Whose clock ``cron`` is read by, such as ``"Europe/Berlin"``.
            overlap: What to do when a run is due while an earlier one goes on: ``"skip"`` it, ``"queue"`` it,
                ``"allow"`` it, or ``"cancel"`` the earlier one and start it after that one's end.
            catch_up: Seconds for which a moment that was missed, because no orchestrator was there or the schedule was
                paused, is still made up for. Those longer ago are skipped.
            kwargs: Keyword arguments of the workflow. Its parameters that are called like one of these options are
                given by position.

        Raises:
            InvalidInput: The arguments do not fit the workflow, or the times are none; every fault is named.
            DefinitionError: The workflow is not defined where a worker could find it.
            OrchestratorClosed: The orchestrator has stopped.
            TypeError: It is no workflow, or an option may be meant for a parameter of the workflow's of that name.
            ValueError: The name could not be one.
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
        command = PutSchedule(name=schedule_name(name), plan=plan)
        check_schedule(self._put_schedule(command))
        return Schedule(self, name, workflow.definition)

    def get_schedule(self, name: str) -> Schedule[Any]:
        """Give the handle of a schedule that exists.

        Raises:
            ScheduleNotFound: There is none of this name.
        """
        check_schedule(self.send(ListSchedules(name=name, moments=0)))
        return Schedule(self, name, None)

    def schedules(self) -> list[ScheduleRecord]:
        """Give every schedule, by name."""
        reply = check_schedule(self.send(ListSchedules()))
        assert isinstance(reply, Schedules)
        return list(shown(reply.schedules))


def _plan(  # noqa: PLR0913  as many as a schedule has
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
    """Make a plan of what a caller gave, who need not be typed.

    Raises:
        InvalidInput: Values are of other types than they should be; every one is named.
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
        msg = f"this is no schedule: {'; '.join(f'{field}: {sentence}' for field, sentence in wrong)}"
        raise InvalidInput(msg, tuple(wrong)) from None
