"""Tools that come with greenroom. Each function here makes one tool for an app: give it a name and its limits.

Make a tool at the top level of a file, as you would decorate a function::

    from greenroom.tools import http_fetch, python_snippet

    fetch = http_fetch("fetch", hosts=["example.com"])
    calculate = python_snippet("calculate", memory_mb=256, cpu=2)

The result is an ordinary tool: await it in a workflow, or give it to an agent. Each docstring says what the tool
prevents and what it does not. No tool here is a sandbox for hostile code. The names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenroom.tools.commands import shell_command
    from greenroom.tools.files import FileEntry, FileText, file_lister, file_reader, file_writer
    from greenroom.tools.http import WebPage, http_fetch
    from greenroom.tools.processes import CommandResult
    from greenroom.tools.snippets import python_snippet

__all__ = [
    "CommandResult",
    "FileEntry",
    "FileText",
    "WebPage",
    "file_lister",
    "file_reader",
    "file_writer",
    "http_fetch",
    "python_snippet",
    "shell_command",
]

_HOMES = {
    "CommandResult": "processes",
    "FileEntry": "files",
    "FileText": "files",
    "WebPage": "http",
    "file_lister": "files",
    "file_reader": "files",
    "file_writer": "files",
    "http_fetch": "http",
    "python_snippet": "snippets",
    "shell_command": "commands",
}


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
