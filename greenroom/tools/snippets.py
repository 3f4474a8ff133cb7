"""``python_snippet``: a tool that runs Python code, such as code written by a model."""

import os
import sys
import tempfile
from typing import Final, Unpack

from greenroom.messages.core.errors import Fatal
from greenroom.tools.options import ToolOptions
from greenroom.tools.processes import CommandResult, run_program
from greenroom.workflows.authoring.decorators import tool
from greenroom.workflows.authoring.step import Step

DEFAULTS: Final[ToolOptions] = {
    "timeout": 10.0,
    "memory_mb": 256,
    "cpu": 5.0,
    "open_files": 64,
    "processes": 8,
    "network": False,
}
"""Options of ``@tool`` where the author gives no others."""
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ")
"""Environment variables that a snippet sees, besides those of ``env=``."""
_MOST_CODE: Final = 100_000
"""Longest snippet in bytes; the kernel takes 128 KiB as one argument."""


def python_snippet(
    name: str = "python", *, most_bytes: int = 100_000, **options: Unpack[ToolOptions]
) -> Step[[str], CommandResult]:
    """Make a tool that runs a piece of Python. It takes ``code`` and returns a ``CommandResult`` with what it printed.

    The code runs in a new interpreter of this Python, with a nearly empty environment, in an empty folder that is
    deleted afterwards. By default it has 10 s, 5 s of CPU, 256 MiB, 64 descriptors, 8 processes and no network.
    Where the kernel cannot take the network away, the tool does not start unless it has ``network=True``.

    This is no sandbox. The code runs as the user of the orchestrator, and can read and write what that user can: files,
    among them the journal and keys, other processes, and local sockets that are files. The limits are against mistakes:
    endless loops, leaks, floods of output. Against hostile code use a container or a virtual machine.

    Args:
        name: Name of the tool.
        most_bytes: Longest output that is kept, in bytes, of stdout and of stderr each. The rest is dropped.
        options: Options of ``@tool``, which replace the limits above. ``env`` names variables that the code may see.

    Raises:
        DefinitionError: An option has an invalid value.
    """
    given: ToolOptions = {**DEFAULTS, **options}
    visible = (*_KEPT, *given.get("env", ()))

    def python(code: str) -> CommandResult:
        """Run Python code in a new process, and return what it prints. Print what you want to know."""
        if len(code.encode(errors="replace")) > _MOST_CODE or "\0" in code:
            msg = f"the code is longer than {_MOST_CODE} bytes, or contains a zero byte"
            raise Fatal(msg)
        environ = {key: value for key, value in os.environ.items() if key in visible}
        with tempfile.TemporaryDirectory(prefix="greenroom-snippet-", ignore_cleanup_errors=True) as folder:
            command = [sys.executable, "-I", "-X", "utf8", "-c", code]
            return run_program(command, most_bytes=most_bytes, environ=environ | {"HOME": folder}, folder=folder)

    python.__name__ = name
    return tool(name=name, **given)(python)
