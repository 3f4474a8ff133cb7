"""Where in the user's code a program is: the line to show a person."""

import asyncio
import re
import sys
from types import FrameType
from typing import Any, Final

from greenroom.actors.failures.tracebacks import LIBRARIES, is_foreign

_RUN: Final = asyncio.Handle._run.__code__  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
"""What the loop runs everything in; the frames beyond it are of whoever runs the loop."""


def user_place() -> str:
    """Give file and line of the innermost of the running frames that is the user's, ``/path/app.py:31``.

    A coroutine's own frame counts, and with it those that await it. Empty where none is the user's: a step that is
    handed to ``asyncio.gather`` runs in a task with no frame around it.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  only frames know
    while frame is not None and frame.f_code is not _RUN:
        filename = frame.f_code.co_filename
        if not is_foreign(filename):
            return f"{filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


_DUMPED: Final = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
_DEEPEST: Final = 1000
"""Awaits inside each other that are looked through."""


def waiting_place(task: "asyncio.Task[Any]") -> str:
    """Give file and line of the innermost ``await`` of a task that stands in the user's own files; empty without one.

    Where there are only files of libraries, it is the innermost of those.
    """
    place = library = ""
    awaited: Any = task.get_coro()
    for _ in range(_DEEPEST):
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None and not is_foreign(frame.f_code.co_filename):
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            if frame.f_code.co_filename.startswith(LIBRARIES):
                library = line
            else:
                place = line
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
        if awaited is None:
            break
    return place or library


def dumped_place(dump: str) -> str:
    """Give the innermost line of the user's in what faulthandler wrote of a process's threads; empty without one."""
    for path, line in _DUMPED.findall(dump):
        if not is_foreign(path) and not path.startswith((*LIBRARIES, "<")):
            return f"{path}:{line}"
    return ""


def _first(thing: Any, *names: str) -> Any:
    """Give the first of some attributes that a coroutine, or something like one, has."""
    for name in names:
        try:
            found = object.__getattribute__(thing, name)
        except AttributeError:
            continue
        if found is not None:
            return found
    return None
