"""``shell_command``: a tool that runs programs."""

import shutil
from collections.abc import Sequence
from typing import Unpack

from greenroom.messages.core.errors import DefinitionError, Fatal
from greenroom.tools.options import ToolOptions
from greenroom.tools.processes import CommandResult, run_program
from greenroom.workflows.authoring.decorators import tool
from greenroom.workflows.authoring.step import Step


def shell_command(
    name: str = "shell", *, programs: Sequence[str], most_bytes: int = 100_000, **options: Unpack[ToolOptions]
) -> Step[[list[str]], CommandResult]:
    """Make a tool that runs a program. It takes ``command``, a list of arguments, and returns a ``CommandResult``.

    The list goes to the program as it is: no shell reads it, so quotes, ``;`` and ``$()`` mean nothing. An exit code
    other than 0 is a result, not an error. The program's input is empty.

    This is no sandbox. A program runs as the user of the orchestrator and may do what it offers: ``git`` and ``find``,
    for example, run other programs when they are told to. Use the limits of ``@tool``, and a container or a user of its
    own against hostile input.

    Args:
        name: Name of the tool.
        programs: Programs that it may run: names that are looked up on the ``PATH``, or absolute paths.
        most_bytes: Longest output that is kept, in bytes, of stdout and of stderr each. The rest is dropped.
        options: Options of ``@tool``, such as ``timeout``, ``cpu``, ``memory_mb``, ``network=False`` and ``workdir``.

    Raises:
        DefinitionError: An option has an invalid value.
    """
    if isinstance(programs, str) or not programs:
        msg = f'tool `{name}` needs the programs that it may run, such as programs=["ls", "git"]'
        raise DefinitionError(msg)
    allowed = tuple(programs)

    def shell(command: list[str]) -> CommandResult:
        """Run a program: its name and its arguments, as a list. No shell reads them."""
        if not command or command[0] not in allowed:
            asked = f"{command[0]!r} is not one of" if command else "the command is empty, and begins with none of"
            msg = f"{asked} the programs that may be run: {', '.join(allowed)}"
            raise Fatal(msg)
        found = shutil.which(command[0])
        if found is None:
            msg = f"there is no program {command[0]!r} where this tool runs"
            raise Fatal(msg)
        if any("\0" in part for part in command):
            msg = "an argument contains a zero byte, which no program can be given"
            raise Fatal(msg)
        return run_program([found, *command[1:]], most_bytes=most_bytes)

    shell.__name__ = name
    return tool(name=name, **options)(shell)
