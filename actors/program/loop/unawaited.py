"""Detection of a workflow's calls that were not awaited: ``paint("red")`` instead of ``await paint("red")``.

Such a call never runs. Python only writes a warning to the process's stderr, once, and continues. The run would then be
recorded as completed without the step, which cannot be repaired afterwards. A failed run names the line, and can be
retried from everything that is recorded once the line is fixed. So the run fails.

Calls cost nothing extra for this. Python itself notices when a call's coroutine is dropped, at the latest with the
frame that held it. That is before the workflow's result counts.
"""

import asyncio
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from types import CoroutineType
from typing import Any, Final

from greenroom.actors.context import UnawaitedCall, program
from greenroom.actors.failures.inspection import bounded
from greenroom.actors.failures.tracebacks import is_foreign
from greenroom.messages.core.failures import HEADER, Failure

TYPE: Final = "NeverAwaited"
"""Stands for the exception's class in the failure."""
_DEPTH: Final = 3
"""Frames that Python keeps of each coroutine's origin: this package's, which are two for ``run``, and the user's."""
_HOOK: Final = "_warn_unawaited_coroutine"
"""Function of ``warnings`` that Python calls. No public API reports every such coroutine, and which one it is."""
_MOST: Final = 5
"""Most calls that a message names."""


def report_unawaited_calls() -> None:
    """Report unawaited calls to their programs from now on. Called in the thread that runs them."""
    sys.set_coroutine_origin_tracking_depth(_DEPTH)
    warn: Callable[[Any], object] | None = getattr(warnings, _HOOK, None)

    def heard(coroutine: "CoroutineType[Any, Any, Any]") -> None:
        owner = program.get()
        if owner is None:
            if warn is not None:
                warn(coroutine)
        elif not owner.ended:  # a program that was cut short drops everything, and is run again elsewhere
            owner.note_unawaited(_unawaited_call(coroutine))

    setattr(warnings, _HOOK, heard)


def never_awaited(calls: Sequence[UnawaitedCall]) -> Failure:
    """Return the failure that names the unawaited calls. The first call is its place."""
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


def never_started(tasks: Iterable["asyncio.Task[Any]"]) -> list[UnawaitedCall]:
    """Return the calls of tasks that nobody awaited or cancelled, and that had no turn to begin.

    They would be closed with the program, and Python reports no coroutine that was closed.
    """
    coroutines: list[Any] = [task.get_coro() for task in tasks if not (task.done() or task.cancelling())]
    return [
        _unawaited_call(coroutine)
        for coroutine in coroutines
        if iscoroutine(coroutine) and getcoroutinestate(coroutine) == CORO_CREATED
    ]


def _unawaited_call(coroutine: "CoroutineType[Any, Any, Any]") -> UnawaitedCall:
    name = coroutine.__qualname__
    frame: Any = coroutine.cr_frame
    if frame is not None and is_foreign(frame.f_code.co_filename) and "self" in frame.f_locals:  # of a step or a child
        method = "" if coroutine.__name__.startswith("_") else f".{coroutine.__name__}"
        name = f"{getattr(frame.f_locals['self'], 'name', name)}{method}"
    for file, line, function in coroutine.cr_origin or ():
        if not is_foreign(file):
            return UnawaitedCall(name, file, line, function)
    return UnawaitedCall(name, "?", 0, "?")
