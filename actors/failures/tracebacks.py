"""Where an exception comes from, as Python prints it, with the frames of its author's code alone.

A person looks for a line of theirs. What this package, asyncio and the import system do between two of those lines is
left out, unless the environment variable ``GREENROOM_TRACEBACK`` is set.
"""

import asyncio
import concurrent.futures
import importlib
import os
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, cast

from greenroom.actors.failures.inspection import (
    TEXT_LIMIT,
    attribute,
    bounded,
    class_attribute,
    members_of,
    message_of,
    mro_of,
    name_of,
    notes_of,
)
from greenroom.actors.failures.redaction import redact
from greenroom.messages.core.errors import GreenroomError, RemoteTraceback, RunFailed, StepFailed
from greenroom.messages.core.failures import HEADER

VARIABLE: Final = "GREENROOM_TRACEBACK"
"""Environment variable: set to anything, it has every frame shown."""

_ROOTS: Final = {Path(__file__).parents[2], Path(__file__).resolve().parents[2]}  # a checkout has links to itself
_PARTS: Final = ("actors", "dashboard", "journal", "messages", "metrics", "supervision", "greenroom", "workflows")
_FOREIGN: Final = (
    "<frozen importlib",
    str(Path(asyncio.__file__).parent) + os.sep,
    str(Path(concurrent.futures.__file__).parent) + os.sep,
    str(Path(importlib.__file__).parent) + os.sep,
    *(f"{root / part}{os.sep}" for root in _ROOTS for part in _PARTS),
    *(str(root / name) for root in _ROOTS for name in ("__init__.py", "main.py")),
)

LIBRARIES: Final = tuple(
    {f"{sysconfig.get_path(kind)}{os.sep}" for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
)
"""Where code is that its author did not write. Its frames are shown, but a place is one in the author's."""

_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_MET: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_MOST_LINKS: Final = 40
"""Exceptions of one chain that are shown, the newest."""
_MOST_MEMBERS: Final = 15
"""Exceptions of one group that are shown, the first, as Python does it."""
_DEEPEST: Final = 10
"""Groups within groups that are shown."""


def is_foreign(filename: str) -> bool:
    """Say whether code of this file is not the user's, but ours, asyncio's or the import system's."""
    return filename.startswith(_FOREIGN)


def user_frames(start: TracebackType | None) -> traceback.StackSummary:
    """Give the frames of a traceback that are to be shown: the user's, or all where that is asked for."""
    frames = traceback.extract_tb(start)
    if os.environ.get(VARIABLE):
        return frames
    return traceback.StackSummary.from_list([frame for frame in frames if not is_foreign(frame.filename)])


def report(error: BaseException) -> str:
    """Give an exception as Python prints it: with its causes before it, and its members where it is a group.

    Deep recursion is folded, and a text of more than 16 KiB loses its middle.
    """
    return _ends(_chain(error, set(), 0))


def outside(error: BaseException) -> BaseException:
    """Give an error without the frames that it has come through, for who raises it on to the user's code."""
    return error if os.environ.get(VARIABLE) else error.with_traceback(None)


def place(error: BaseException, depth: int = 0) -> str:
    """Say where an exception was raised, ``/path/app.py:31``; empty where no code of the user's was under way.

    For the failure of a step or child that is the place in its own code; for a group, that of its first member.
    """
    cause = attribute(error, "__cause__")
    if isinstance(cause, RemoteTraceback) and isinstance(error, (StepFailed, RunFailed)) and cause.place:
        return cause.place
    start = attribute(error, "__traceback__")
    if isinstance(error, BaseExceptionGroup) and depth < _DEEPEST:
        for member in members_of(cast("BaseExceptionGroup[BaseException]", error))[:_MOST_MEMBERS]:
            if found := place(member, depth + 1):
                return found
    found, library = "", ""
    for frame, line in traceback.walk_tb(start):
        file = frame.f_code.co_filename
        if file.startswith(LIBRARIES):
            library = f"{file}:{line}"
        elif not (is_foreign(file) or file.startswith("<")):  # which is code that was made, of a dataclass for one
            found = f"{file}:{line}"
    found = found or library
    if isinstance(error, SyntaxError) and (
        told := _syntax_place(error)
    ):  # the line that cannot be read, not the import
        return told
    return bounded(found)


def _syntax_place(error: SyntaxError) -> str:
    name, line = (SyntaxError.__dict__[field].__get__(error) for field in ("filename", "lineno"))
    return bounded(f"{name}:{line}") if isinstance(name, str) and isinstance(line, int) else ""


def _chain(error: BaseException, seen: set[int], depth: int) -> str:
    """Format an exception and what it comes from, each once: causes may form a circle."""
    links: list[tuple[BaseException, str]] = []
    current: BaseException | None = error
    link = ""
    while current is not None and id(current) not in seen and len(links) < _MOST_LINKS:
        seen.add(id(current))
        links.append((current, link))
        cause, context = attribute(current, "__cause__"), attribute(current, "__context__")
        hidden = attribute(current, "__suppress_context__")
        current, link = (cause, _CAUSED) if cause is not None else (None if hidden else context, _MET)
    return "".join(_one(each, seen, depth) + link for each, link in reversed(links))


def _one(error: BaseException, seen: set[int], depth: int) -> str:
    if isinstance(error, RemoteTraceback):
        return error.text.rstrip("\n") + "\n"
    frames = "".join(user_frames(attribute(error, "__traceback__")).format())
    last = last_lines(error)
    if not isinstance(error, BaseExceptionGroup):
        return f"{HEADER}{frames}{last}" if frames or last.startswith("  File ") else last
    header = f"  + Exception Group {HEADER}" if frames else ""
    shown = header + _indented(f"{frames}{last}", "  | ")
    if depth == _DEEPEST:
        return shown
    members = members_of(cast("BaseExceptionGroup[BaseException]", error))
    for number, member in enumerate(members[:_MOST_MEMBERS], start=1):
        shown += f"  {'+-' if number == 1 else '  '}+---------------- {number} ----------------\n"
        shown += _indented(_chain(member, seen, depth + 1) or f"{_title(type(member))}: shown above\n", "    | ")
    if len(members) > _MOST_MEMBERS:
        shown += f"    +---------------- and {len(members) - _MOST_MEMBERS} more ----------------\n"
    return f"{shown}    +------------------------------------\n"


def last_lines(error: BaseException) -> str:
    """Give the line that names an exception, with its notes below; for a syntax error the faulty line above."""
    cls = type(error)
    if isinstance(error, SyntaxError):
        kind = next(each for each in mro_of(cls) if each.__module__ == "builtins")
        return "".join(traceback.format_exception_only(kind(*_syntax_args(error)))) + _notes(error)
    message = message_of(error)
    return (f"{_title(cls)}: {message}" if message else _title(cls)) + "\n" + _notes(error)


def _syntax_args(error: SyntaxError) -> tuple[object, ...]:
    def field(name: str) -> object:
        return SyntaxError.__dict__[name].__get__(error)

    names = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset")
    return field("msg"), tuple(map(field, names))


def _notes(error: BaseException) -> str:
    return "".join(f"{note}\n" for note in notes_of(error))


def _title(cls: type) -> str:
    """Name a class as Python's tracebacks do; our own as their users import them."""
    module = cls.__dict__.get("__module__")
    if not isinstance(module, str) or module in {"builtins", "__main__"}:
        return name_of(cls)
    if GreenroomError in mro_of(cls) and module.startswith("greenroom."):
        return f"greenroom.{name_of(cls)}"
    return bounded(f"{module}.{class_attribute(cls, '__qualname__')}")


def _indented(text: str, margin: str) -> str:
    return "".join(f"{margin}{line}\n" for line in text.splitlines())


def _ends(text: str) -> str:
    """Shorten a long text in its middle: a traceback says most at its ends."""
    text, half = redact(text), TEXT_LIMIT // 2
    if len(text) > TEXT_LIMIT:
        first, last = text[: half - 8].rpartition("\n")[0], text[-half:].partition("\n")[2]
        text = f"{first}\n  ...\n{last}" if first and last.strip() else f"{text[: half - 8]}\n  ...\n{text[-half:]}"
    return bounded(text)
