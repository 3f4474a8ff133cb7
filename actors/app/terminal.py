"""What asks a person at a terminal, in a process that has none: refused at once, with a word on what to do instead.

``breakpoint()`` asks by its hook. ``input()``, ``pdb``, and what else reads a line, ask by stdin, which in a worker is
empty and would have them fail in ways that tell nothing.
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
    """Code in a worker wants to ask somebody, and nobody can answer there. No attempt can mend that."""


def refuse_questions() -> None:
    """Have code that asks a person refused from now on. Called before the app is imported: it may bring a debugger."""
    sys.breakpointhook = _refuse_breakpoint
    stdin: Any = sys.stdin
    if stdin is not None:
        stdin.readline = _refuse_line  # what ``input()`` and debuggers call where stdin is no terminal


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
    """Give the line of the user's that asks, ``/path/app.py:31``, or else the innermost one of a library."""
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
