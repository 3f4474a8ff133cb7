"""Where in the user's code a program is: the line to show a person."""

import asyncio
import sys
from types import FrameType
from typing import Final

from understudy.actors.failure import is_foreign

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
