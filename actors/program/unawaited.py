"""Calls of a workflow that nobody awaited: ``paint("red")`` where ``await paint("red")`` was meant.

Such a call never ran. Python only writes a warning to the standard error of whatever process it happens in, once, and
goes on. A run that went on would be recorded as completed without the step, which nobody could mend afterwards. A run
that fails names the line, and is retried from all that is recorded once the line is mended. So it fails.

Nothing is noted per call for it: Python itself finds out when the call's coroutine is let go of, at the latest with the
frame that held it, which is before the workflow's result counts.
"""

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Final

from greenroom.actors.context import program
from greenroom.actors.failures.inspection import bounded
from greenroom.actors.failures.tracebacks import is_foreign
from greenroom.messages.core.failures import HEADER, Failure

TYPE: Final = "NeverAwaited"
"""What stands in the place of an exception's class."""
_DEPTH: Final = 2
"""Frames that Python notes of each coroutine's origin: ours, where a step is called, and the user's."""
_HOOK: Final = "_warn_unawaited_coroutine"
"""What Python calls in its module ``warnings``. There is no public way to hear of it each time, and of which it is."""
_MOST: Final = 5
"""Calls that a sentence names."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A call that was never awaited."""

    name: str
    file: str
    line: int
    function: str

    @property
    def place(self) -> str:
        """Where it was made, ``/path/app.py:31``."""
        return f"{self.file}:{self.line}"


def listen() -> None:
    """Have programs hear of their calls that nobody awaited, from now on. In the thread that runs them."""
    sys.set_coroutine_origin_tracking_depth(_DEPTH)
    warn: Callable[[Any], object] | None = getattr(warnings, _HOOK, None)

    def heard(coroutine: "CoroutineType[Any, Any, Any]") -> None:
        owner = program.get()
        if owner is None:
            if warn is not None:
                warn(coroutine)
        elif not owner.ended:  # one that was cut short drops all that it has, and is run again elsewhere
            owner.forgot(_forgotten(coroutine))

    setattr(warnings, _HOOK, heard)


def never_awaited(calls: Sequence[Forgotten]) -> Failure:
    """Say which calls were never awaited, the first of them as the place of the failure."""
    places = list(dict.fromkeys(f"{each.name} ({each.place})" for each in calls))
    named = ", ".join(places[:_MOST])
    more = f" and {len(places) - _MOST} more" if len(places) > _MOST else ""
    what, they = ("it was", "it") if len(calls) == 1 else ("they were", "they")
    message = bounded(
        f"{named}{more}: {what} called and never awaited, so {they} did not run; write `await {calls[0].name}(...)`, "
        "and `.close()` what is not wanted after all"
    )
    first = calls[0]
    frames = traceback.StackSummary.from_list([traceback.FrameSummary(first.file, first.line, first.function)])
    shown = f"{HEADER}{''.join(frames.format())}{TYPE}: {message}"
    return Failure(outcome="error", type=TYPE, message=message, traceback=bounded(shown), place=bounded(first.place))


def _forgotten(coroutine: "CoroutineType[Any, Any, Any]") -> Forgotten:
    name = coroutine.__qualname__
    frame: Any = coroutine.cr_frame
    if frame is not None and is_foreign(frame.f_code.co_filename) and "self" in frame.f_locals:  # of a step or a child
        name = str(getattr(frame.f_locals["self"], "name", name))
    for file, line, function in coroutine.cr_origin or ():
        if not is_foreign(file):
            return Forgotten(name, file, line, function)
    return Forgotten(name, "?", 0, "?")
