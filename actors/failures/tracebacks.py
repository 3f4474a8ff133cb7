"""Tracebacks as Python prints them, with only the frames of the author's code.

A person looks for a line of their own. Frames of this package, asyncio and the import system are left out, unless the
environment variable ``GREENROOM_TRACEBACK`` is set.
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
from greenroom.messages.core.errors import GreenroomError, NotSerializable, RemoteTraceback, RunFailed, StepFailed
from greenroom.messages.core.failures import HEADER

VARIABLE: Final = "GREENROOM_TRACEBACK"
"""Environment variable. If set, every frame is shown."""

_ROOTS: Final = {Path(__file__).parents[2], Path(__file__).resolve().parents[2]}  # a checkout contains links to itself
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
"""Folders of libraries. Their frames are shown, but a failure's place is a line of the author's own code."""

_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_MET: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_MOST_LINKS: Final = 40
"""Most exceptions of one chain that are shown, the newest."""
_MOST_MEMBERS: Final = 15
"""Most exceptions of one group that are shown, the first, as in Python."""
_DEEPEST: Final = 10
"""Deepest nesting of groups that are shown."""


def is_foreign(filename: str) -> bool:
    """Return whether a file's code is not the user's, but of this package, asyncio or the import system."""
    return filename.startswith(_FOREIGN)


def user_frames(start: TracebackType | None) -> traceback.StackSummary:
    """Return the frames of a traceback to show: those of the user, or all of them if requested."""
    frames = traceback.extract_tb(start)
    if os.environ.get(VARIABLE):
        return frames
    return traceback.StackSummary.from_list([frame for frame in frames if not is_foreign(frame.filename)])


def report(error: BaseException) -> str:
    """Return an exception as Python prints it: after its causes, and with its members if it is a group.

    Repeated frames of deep recursion are folded. A text of more than 16 KiB is cut in the middle.
    """
    return _ends(_chain(error, set(), 0))


def outside(error: BaseException) -> BaseException:
    """Return an error without the frames it came through, to be raised in the user's code."""
    return error if os.environ.get(VARIABLE) else error.with_traceback(None)


def place(error: BaseException, depth: int = 0) -> str:
    """Return the place where an exception was raised, ``/path/app.py:31``; empty if no user code was running.

    For the failure of a step or child this is the place in its own code; for a group, that of its first member.
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
        if is_foreign(file) or file.startswith("<"):  # generated code, for example of a dataclass
            continue
        if file.startswith(LIBRARIES):
            library = f"{file}:{line}"
        else:
            found = f"{file}:{line}"
    told = error.place if isinstance(error, NotSerializable) else ""
    found = found or told or library
    if isinstance(error, SyntaxError) and (
        told := _syntax_place(error)
    ):  # the line with the syntax error, not the import
        return told
    return bounded(found)


def _syntax_place(error: SyntaxError) -> str:
    name, line = (SyntaxError.__dict__[field].__get__(error) for field in ("filename", "lineno"))
    return bounded(f"{name}:{line}") if isinstance(name, str) and isinstance(line, int) else ""


def _chain(error: BaseException, seen: set[int], depth: int) -> str:
    """Format an exception and its causes, each once, since causes may form a cycle."""
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
    """Return the line that names an exception, with its notes below. A syntax error has its faulty line above."""
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
    """Return a class's name as in Python's tracebacks; exceptions of this package have the name that users import."""
    module = cls.__dict__.get("__module__")
    if not isinstance(module, str) or module in {"builtins", "__main__"}:
        return name_of(cls)
    if GreenroomError in mro_of(cls) and module.startswith("greenroom."):
        return f"greenroom.{name_of(cls)}"
    return bounded(f"{module}.{class_attribute(cls, '__qualname__')}")


def _indented(text: str, margin: str) -> str:
    return "".join(f"{margin}{line}\n" for line in text.splitlines())


def _ends(text: str) -> str:
    """Shorten a long text in its middle, because the ends of a traceback say most."""
    text, half = redact(text), TEXT_LIMIT // 2
    if len(text) > TEXT_LIMIT:
        first, last = text[: half - 8].rpartition("\n")[0], text[-half:].partition("\n")[2]
        text = f"{first}\n  ...\n{last}" if first and last.strip() else f"{text[: half - 8]}\n  ...\n{text[-half:]}"
    return bounded(text)
