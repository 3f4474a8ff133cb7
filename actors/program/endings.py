"""How a program ends other than by returning, as the command that says so."""

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
"""Places of waiting tasks that a sentence names."""
_MOST_CLOSES: Final = 100
"""How often a coroutine is closed that goes on awaiting something."""

_Future: Final["type[asyncio.Future[Any]]"] = asyncio.Future
_unending: Final[list[Any]] = []
"""Coroutines that went on for all that. Kept, since Python's collector would run them on in the middle of something."""


def raised(error: BaseException, *, cancelled: bool, stop: bool) -> Raise:
    """Say what came out of the user's coroutine. Any exception at all can be given, and nothing is raised.

    Args:
        error: What came out.
        cancelled: Whether the run was asked to cancel before.
        stop: Whether the session is set to stop at messages that it cannot deal with.
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
    except BaseException:  # noqa: BLE001  which calls it comes from is worth less than that it is over
        return Raise(failure=failure, stop=stop)


def stuck(why: str, places: Sequence[str], *, session: bool, stop: bool) -> Raise | Halt:
    """Say that a program cannot go on: a run is parked for its author to look at, a message is a dead letter.

    Args:
        why: What is wrong, in a sentence without its full stop.
        places: Where its tasks wait, ``/path/app.py:31``.
        session: Whether the program deals with a session's message.
        stop: See ``raised``.
    """
    shown = ", ".join(places[:MOST_PLACES]) + (" and others" if len(places) > MOST_PLACES else "")
    reason = f"{why}; it waits at {shown}" if shown else why
    if session:
        return Raise(failure=Failure(outcome="error", type="Stuck", message=reason), stop=stop)
    return Halt(reason=reason)


def throw_away(task: "asyncio.Task[Any]", context: Context) -> None:
    """End a task at once: its ``finally`` blocks run up to their first ``await``, and nothing of it runs ever again.

    It is not cancelled, which would leave it to run on later, and what it leaves behind to Python's collector: that
    would close its coroutine at any time and in any program, so that a step in an outer ``finally`` would be asked for
    by another run, or run in place.

    Args:
        task: The task; the loop is not in the middle of it.
        context: One in which the running program is the task's own.
    """
    if task.done():
        if not task.cancelled():
            task.exception()  # which counts as having heard of it: asyncio reports those that nobody heard of
        return
    coroutine: Any = task.get_coro()
    with _without_remarks():
        for _ in range(_MOST_CLOSES):
            try:
                context.run(coroutine.close)
            except RuntimeError:  # it awaits something else instead; or its code raised one
                continue
            except BaseException:  # noqa: BLE001, S110  its code raised that, and is over
                pass
            break
        else:
            _unending.append(coroutine)
    _Future.cancel(task)  # not ``Task.cancel``, which would be heard by the coroutine


@contextmanager
def _without_remarks() -> Generator[None]:
    """Keep Python from writing to stderr that a coroutine goes on awaiting something when it is closed.

    It says so of those that the closed one awaits: they go with its frame, and nobody can be told of an exception.
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
        if sys.unraisablehook is hook:  # else the code that was closed has one of its own now
            sys.unraisablehook = others
