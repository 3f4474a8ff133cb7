"""Refusal of code that asks a person at a terminal, since worker processes have none.

``breakpoint()`` asks through its hook. ``input()``, ``pdb`` and others read a line from stdin, which is empty in a
worker, so that they would fail with errors that explain nothing. They are refused at once, with advice on what to do
instead.
"""

import os
import sys
import sysconfig
from types import FrameType
from typing import Any, Final, NoReturn

from greenroom.actors.api.step_context import running
from greenroom.actors.context import program
from greenroom.actors.failures.tracebacks import is_foreign
from greenroom.messages.core.errors import Fatal

_LIBRARIES: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_DEBUGGERS: Final = ("pdb.py", "bdb.py", "cmd.py")
_DISABLED: Final = "0"


class NoTerminal(Fatal):
    """Code in a worker asks a person at a terminal, and there is none. No further attempt can succeed."""


def refuse_questions() -> None:
    """Refuse, from now on, code that asks a person. Called before the app is imported, which may bring a debugger."""
    sys.breakpointhook = _refuse_breakpoint
    stdin: Any = sys.stdin
    if stdin is not None:
        stdin.readline = _refuse_line  # called by ``input()`` and debuggers if stdin is not a terminal


def _refuse_breakpoint(*_args: object, **_options: object) -> None:
    if os.environ.get("PYTHONBREAKPOINT") != _DISABLED:
        _refuse("breakpoint()")


def _refuse_line(_size: int = -1) -> NoReturn:
    _refuse("pdb" if _debugger_runs() else "input()")


def _debugger_runs() -> bool:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  only frames know
    while frame is not None:
        if os.path.basename(frame.f_code.co_filename) in _DEBUGGERS:  # noqa: PTH119  a name, not a file
            return True
        frame = frame.f_back
    return False


def _refuse(what: str) -> NoReturn:
    where, step = _asking_place(), running.get()
    asks = f"{what}{f' at {where}' if where else ''} asks a person"
    if step is None and program.get() is None:
        msg = f"{asks}, and an app is imported without a terminal: leave that to what runs as a script"
        raise NoTerminal(msg)
    if step is None:
        instead = "put what it is about into a tool, and call that in place: `TOOL.fn(...)`"
    else:
        name = step.step.rpartition("#")[0].partition("[")[0].rpartition("/")[2]
        instead = f"call the step in place: `{name}.fn(...)`"
    msg = (
        f"{asks}, and a worker process has no terminal; {instead} in a terminal of your own, with python -c or in a "
        "test, outside of any workflow"
    )
    raise NoTerminal(msg)


def _asking_place() -> str:
    """Return the user's line that asks, ``/path/app.py:31``, or else the innermost line of a library."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  see above
    library = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if not is_foreign(name) and not name.startswith("<"):
            if not name.startswith(_LIBRARIES):
                return f"{name}:{frame.f_lineno}"
            library = library or f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return library
