"""Takes the commands about schedules, whichever door they came in by, and answers them."""

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
from greenroom.workflows.scheduler.registry import Schedules as Directory
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.queries import read_schedule, read_schedules

Check: TypeAlias = Callable[[str, str, dict[str, Json]], Awaitable[dict[str, Json] | Refused]]


class ScheduleCommandHandler:
    """Carries out commands about schedules. Coroutines of the reactor's loop; nothing here blocks it.

    Args:
        schedules: Whom to ask.
        check: Has a worker of an app look at the arguments of a workflow; gives them in their normal form.
    """

    def __init__(self, schedules: Directory, check: Check) -> None:
        """Know whom to ask."""
        self._schedules = schedules
        self._check = check

    async def carry_out(self, command: ScheduleCommand) -> Reply:
        """Answer one command. What the reply says is on the disk when it is given."""
        match command:
            case PutSchedule():
                return await self._put(command)
            case PauseSchedule(reason=reason):
                wish: do.ScheduleInput = do.Pause(reason)
            case ResumeSchedule():
                wish = do.Resume()
            case TriggerSchedule():
                wish = do.Trigger()
            case DeleteSchedule():
                wish = do.Delete()
            case ListSchedules():
                return await asyncio.get_running_loop().run_in_executor(None, self._list, command)
            case _:
                assert_never(command)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._schedules.ask(command.name, wish, answer.set_result)
        return await answer

    async def _put(self, command: PutSchedule) -> Reply:
        """Make or change a schedule, if what it starts fits a workflow."""
        plan = command.plan
        arguments = await self._check(plan.app, plan.workflow, plan.arguments)
        if isinstance(arguments, Refused):
            return arguments
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        wanted = command.model_copy(update={"plan": plan.model_copy(update={"arguments": arguments})})
        self._schedules.put(wanted, answer.set_result)
        return await answer

    def _list(self, command: ListSchedules) -> Reply:
        """Read all schedules, or one. A thread of the loop's executor."""
        try:
            if command.name is None:
                return Schedules(schedules=tuple(read_schedules(self._schedules.journal, command.moments)))
            return Schedules(schedules=(read_schedule(self._schedules.journal, command.name, command.moments),))
        except ScheduleNotFound as error:
            return Refused(code="not_found", message=str(error))
        except (JournalError, OrchestratorClosed, ValueError) as error:
            return Refused(code="unavailable", message=str(error))
