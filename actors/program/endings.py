"""Endings of a program other than a return, as commands to the orchestrator."""

import asyncio
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from greenroom.actors.failures.description import describe_exception, failed_calls, raising_call
from greenroom.messages.core.errors import StepFailed
from greenroom.messages.core.failures import Failure
from greenroom.messages.frames.worker import Halt, Raise

if TYPE_CHECKING:
    from sys import UnraisableHookArgs  # not there at run time

NOTHING_LEFT: Final = (
    "its code waits for something that can never come: no step, timer, message, approval or child run is left to wake "
    "it, and nothing outside of its journal can; what waits for anything else belongs into a @tool"
)
INTRUDED: Final = (
    "something outside of its journal wanted to wake its code, such as a thread, a signal or another run: a replay "
    "could not repeat that; what waits for such things belongs into a @tool"
)
MOST_PLACES: Final = 5
"""Most places of waiting tasks that a message names."""
_MOST_CLOSES: Final = 100
"""Most times that a coroutine is closed if it keeps awaiting."""

_Future: Final["type[asyncio.Future[Any]]"] = asyncio.Future
_unending: Final[list[Any]] = []
"""Coroutines that could not be closed. Kept, because Python's garbage collector would resume them at any moment."""


def raise_command(error: BaseException, *, cancelled: bool, stop: bool) -> Raise:
    """Return the command for an exception that left the user's coroutine. Accepts any exception and never raises.

    Args:
        error: The exception.
        cancelled: Whether cancelling the run was requested before.
        stop: Whether the session is set to stop at messages that it fails on.
    """
    if isinstance(error, asyncio.CancelledError):
        if cancelled:
            failure = describe_exception(asyncio.CancelledError("the workflow was cancelled"), "cancelled")
            return Raise(failure=failure, cancelled=True)
        if not error.args:
            error = asyncio.CancelledError("its own code raised this, nobody has cancelled it").with_traceback(
                error.__traceback__
            )
    failure = describe_exception(error)
    try:
        step = raising_call(error) if isinstance(error, StepFailed) else ""
        return Raise(failure=failure, step=step or None, calls=failed_calls(error), stop=stop)
    except BaseException:  # noqa: BLE001  the ending matters more than the calls it comes from
        return Raise(failure=failure, stop=stop)


def stuck_command(why: str, places: Sequence[str], *, session: bool, stop: bool) -> Raise | Halt:
    """Return the command for a program that cannot continue: its run is parked, or its message is a dead letter.

    Args:
        why: What is wrong, in a sentence without its full stop.
        places: Where its tasks wait, ``/path/app.py:31``.
        session: Whether the program handles a session's message.
        stop: See ``raise_command``.
    """
    shown = ", ".join(places[:MOST_PLACES]) + (" and others" if len(places) > MOST_PLACES else "")
    reason = f"{why}; it waits at {shown}" if shown else why
    if session:
        return Raise(failure=Failure(outcome="error", type="Stuck", message=reason), stop=stop)
    return Halt(reason=reason)


def discard_task(task: "asyncio.Task[Any]", context: Context) -> None:
    """End a task at once: its ``finally`` blocks run up to their first ``await``, and it never runs again.

    The task is not cancelled, because it would then run on later and leave its coroutine to Python's garbage collector.
    The collector would close it at any time and in any program. A step in an outer ``finally`` would then be requested
    by another run, or run in place.

    Args:
        task: The task. The loop must not be executing it.
        context: A context in which the running program is the task's own.
    """
    if task.done():
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved: asyncio logs those that are not
        return
    coroutine: Any = task.get_coro()
    with _without_remarks():
        for _ in range(_MOST_CLOSES):
            try:
                context.run(coroutine.close)
            except RuntimeError:  # it awaits something else instead, or its code raised this
                continue
            except BaseException:  # noqa: BLE001, S110  its code raised this, and has ended
                pass
            break
        else:
            _unending.append(coroutine)
    _Future.cancel(task)  # not ``Task.cancel``, which would be raised in the coroutine


@contextmanager
def _without_remarks() -> Generator[None]:
    """Suppress Python's message to stderr that a coroutine ignored being closed.

    Python writes it for the coroutines that the closed one awaits. They go with its frame, and no caller could receive
    an exception.
    """
    others = sys.unraisablehook

    def hook(found: "UnraisableHookArgs", /) -> None:
        error = found.exc_value
        if not (type(error) is RuntimeError and str(error).endswith("ignored GeneratorExit")):
            others(found)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:  # otherwise the closed code has set a hook of its own
            sys.unraisablehook = others
