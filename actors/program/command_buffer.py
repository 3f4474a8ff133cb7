"""The commands that a program has for the orchestrator, collected until its next turn."""

from greenroom.messages.core.failures import Failure
from greenroom.messages.frames.worker import (
    EmitValue,
    ProgramCommand,
    Raise,
    ScheduleApproval,
    ScheduleChild,
    ScheduleReceive,
    ScheduleStep,
    ScheduleTimer,
    SendMessage,
)


class CommandBuffer:
    """Commands of one turn, in the order in which the program gave them. Used on the program's loop only."""

    def __init__(self) -> None:
        """Begin with no commands."""
        self._commands: list[ProgramCommand] = []
        self._requested: set[str] = set()
        """Keys that this turn asks for."""
        self._withdrawn: set[str] = set()
        """Those of them that the same turn has withdrawn; their commands are not sent."""
        self._held: list[EmitValue | SendMessage] = []
        """Effects of a session's turn on the outside. They are sent together when the turn ends, or never."""

    def __bool__(self) -> bool:
        """Return whether there are commands."""
        return bool(self._commands)

    def add(self, command: ProgramCommand) -> None:
        """Add a command that cannot be withdrawn."""
        self._commands.append(command)

    def request(
        self,
        command: ScheduleStep | ScheduleTimer | ScheduleChild | ScheduleReceive | ScheduleApproval | SendMessage,
    ) -> None:
        """Add a command that asks for something by its key."""
        self._commands.append(command)
        self._requested.add(command.key)

    def withdraw(self, key: str) -> bool:
        """Withdraw a request of this turn. Return False if the key was not requested in this turn."""
        if key not in self._requested:
            return False
        self._withdrawn.add(key)
        return True

    def was_withdrawn(self, key: str) -> bool:
        """Return whether this turn has both requested and withdrawn a key."""
        return key in self._withdrawn

    def hold(self, command: EmitValue | SendMessage) -> None:
        """Keep a command back until ``release``."""
        self._held.append(command)

    def release(self) -> None:
        """Add the commands that were kept back."""
        self._commands.extend(self._held)

    def replace(self, command: ProgramCommand | None) -> None:
        """Drop the turn's commands and send only this one, if any."""
        self._commands = [] if command is None else [command]

    def failure(self) -> Failure | None:
        """Return the failure that ends the program, or None if no command reports one."""
        return next((command.failure for command in self._commands if isinstance(command, Raise)), None)

    def take(self) -> tuple[ProgramCommand, ...]:
        """Return the turn's commands without the withdrawn ones, and begin the next turn."""
        commands = tuple(self._commands)
        if self._withdrawn:
            commands = tuple(each for each in commands if getattr(each, "key", None) not in self._withdrawn)
        self._commands.clear()
        self._requested.clear()
        self._withdrawn.clear()
        return commands
