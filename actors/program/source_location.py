"""The line of the user's code at which a program is, for people."""

import asyncio
import re
import sys
from types import FrameType
from typing import Any, Final

from greenroom.actors.failures.tracebacks import LIBRARIES, is_foreign

_RUN: Final = asyncio.Handle._run.__code__  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
"""The function in which the loop runs every callback. Frames beyond it belong to the loop's caller."""


def running_place() -> str:
    """Return file and line of the innermost running frame of user code, ``/path/app.py:31``.

    The frames of a coroutine and of those that await it count. Empty if none is the user's: a step passed to
    ``asyncio.gather`` runs in a task without a surrounding frame.
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
"""Most nested awaits that are searched."""


def waiting_place(task: "asyncio.Task[Any]") -> str:
    """Return file and line of a task's innermost ``await`` in the user's own files; empty if there is none.

    If only files of libraries are found, return the innermost line of those.
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
    """Return the innermost user line in a dump of threads by faulthandler; empty if there is none."""
    for path, line in _DUMPED.findall(dump):
        if not is_foreign(path) and not path.startswith((*LIBRARIES, "<")):
            return f"{path}:{line}"
    return ""


def _first(thing: Any, *names: str) -> Any:
    """Return the first attribute that a coroutine or similar object has."""
    for name in names:
        try:
            found = object.__getattribute__(thing, name)
        except AttributeError:
            continue
        if found is not None:
            return found
    return None
