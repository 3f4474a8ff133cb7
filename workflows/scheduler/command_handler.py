"""Carry out the commands about schedules."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, assert_never

from greenroom.messages.commands import (
    DeleteSchedule,
    ListSchedules,
    PauseSchedule,
    PutSchedule,
    Refused,
    Reply,
    ResumeSchedule,
    ScheduleCommand,
    Schedules,
    TriggerSchedule,
)
from greenroom.messages.core.errors import JournalError, OrchestratorClosed, ScheduleNotFound
from greenroom.messages.core.message import Json
from greenroom.workflows.scheduler.registry import ScheduleRegistry
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.queries import read_schedule, read_schedules

Check: TypeAlias = Callable[[str, str, dict[str, Json]], Awaitable[dict[str, Json] | Refused]]


class ScheduleCommandHandler:
    """Carries out commands about schedules. Coroutines of the reactor's loop; nothing here blocks it.

    Args:
        schedules: The registry of schedules.
        check: Checks the arguments of a workflow in a worker of its app, and returns them in their normal form.
    """

    def __init__(self, schedules: ScheduleRegistry, check: Check) -> None:
        """Keep the arguments."""
        self._schedules = schedules
        self._check = check

    async def carry_out(self, command: ScheduleCommand) -> Reply:
        """Carry out one command. Return the reply after the commit."""
        match command:
            case PutSchedule():
                return await self._put(command)
            case PauseSchedule(reason=reason):
                happened: do.ScheduleInput = do.Pause(reason)
            case ResumeSchedule():
                happened = do.Resume()
            case TriggerSchedule(key=key):
                happened = do.Trigger(key)
            case DeleteSchedule():
                happened = do.Delete()
            case ListSchedules():
                return await asyncio.get_running_loop().run_in_executor(None, self._list, command)
            case _:
                assert_never(command)
        return await self._schedules.ask(command.name, happened)

    async def _put(self, command: PutSchedule) -> Reply:
        """Create or change a schedule, if the arguments fit the workflow that it starts."""
        plan = command.plan
        arguments = await self._check(plan.app, plan.workflow, plan.arguments)
        if isinstance(arguments, Refused):
            return arguments
        return await self._schedules.put(
            command.model_copy(update={"plan": plan.model_copy(update={"arguments": arguments})})
        )

    def _list(self, command: ListSchedules) -> Reply:
        """Read all schedules, or one. Executor thread."""
        try:
            if command.name is None:
                return Schedules(schedules=tuple(read_schedules(self._schedules.journal, command.moments)))
            return Schedules(schedules=(read_schedule(self._schedules.journal, command.name, command.moments),))
        except ScheduleNotFound as error:
            return Refused(code="not_found", message=str(error))
        except (JournalError, OrchestratorClosed, ValueError) as error:
            return Refused(code="unavailable", message=str(error))
