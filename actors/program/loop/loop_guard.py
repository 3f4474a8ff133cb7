"""A loop that user code shares with the programs of other runs, and may neither change nor stop.

A program's code runs only when an outcome from the journal has set it off; otherwise a replay could not repeat it.
Whatever wakes a task uses the loop's ``call_soon``. So that is where wake-ups from outside are told apart from the
program's own. They may come from a thread, a signal, or another run that shares an object with the program.
"""

import asyncio
import functools
import gc
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

from typing_extensions import TypeVarTuple, Unpack, override

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.failures.description import describe_exception, explain_without_source
from greenroom.actors.program.loop.tasks import maker
from greenroom.actors.program.scope import scope

Ts = TypeVarTuple("Ts")

OPEN: Final = frozenset(
    {
        "call_at",
        "call_exception_handler",
        "call_later",
        "call_soon",
        "call_soon_threadsafe",
        "create_future",
        "create_task",
        "default_exception_handler",
        "get_debug",
        "get_exception_handler",
        "get_task_factory",
        "is_closed",
        "is_running",
        "slow_callback_duration",
        "time",
    }
)
"""Methods of the loop that user code may call. All others are refused, in every version of Python."""
_THREADS: Final = "start threads"
_SHARED: Final = "change or stop the event loop, which runs the programs of other runs too"
_DOES: Final = {
    "run_in_executor": _THREADS,
    "subprocess_exec": "start processes",
    "subprocess_shell": "start processes",
    "add_signal_handler": "handle signals",
    "remove_signal_handler": "handle signals",
    **dict.fromkeys(
        (
            "close",
            "run_forever",
            "run_until_complete",
            "set_debug",
            "set_default_executor",
            "set_exception_handler",
            "set_task_factory",
            "shutdown_asyncgens",
            "shutdown_default_executor",
            "stop",
        ),
        _SHARED,
    ),
}
"""What the refused methods are for. Those not listed wait for sockets and pipes."""

_collecting = threading.local()
"""Whether Python's garbage collector runs in this thread; see ``SealedLoop._asyncgen_finalizer_hook``."""


def _note_collection(phase: str, _info: dict[str, int]) -> None:
    _collecting.now = phase == "start"


def refuse_threads() -> None:
    """Refuse threads to programs from now on, for the rest of this process's life, for every library.

    A thread could wake its program only from outside. Code outside programs may start threads.
    """
    start = threading.Thread.start

    @functools.wraps(start)
    def asked(thread: threading.Thread) -> None:
        if program.get() is not None:
            raise RuntimeError(_refusal(_THREADS))
        start(thread)

    threading.Thread.start = asked  # type: ignore[assignment, method-assign]


def _refusal(what: str) -> str:
    if what is _SHARED:
        return f"a workflow may not {what}; what needs a loop of its own belongs into a @tool"
    return f"a workflow may not {what}, because a replay could not repeat what they do; make it a @tool"


def owned(context: Context | None) -> Context | None:
    """Return a context that belongs to the running program, for a callback that the program schedules."""
    owner = program.get()
    if context is None or owner is None or context.get(program) is owner:
        return context
    context = context.copy()
    context.run(program.set, owner)
    context.run(scope.set, scope.get())
    return context


class SealedLoop(asyncio.SelectorEventLoop):
    """A loop that refuses what a replay could not repeat, and keeps wake-ups from outside away from programs.

    The host is not restricted: neither before the loop runs, nor while it is ``at_rest``.
    """

    def __init__(self, selector: Any) -> None:
        """Create the loop, in the thread that will run it."""
        self.active: ProgramPort | None = None
        """The program that has the loop. Set and cleared by programs, as their turns begin and end."""
        self.at_rest = False
        """True while nothing is ready and the host looks for more work."""
        self.intruded: deque[ProgramPort] = deque()
        """Programs that something from outside tried to wake. Emptied by the host; added to from any thread."""
        self._own_thread = threading.get_ident()
        super().__init__(selector)
        if _note_collection not in gc.callbacks:
            gc.callbacks.append(_note_collection)

    def leave(self) -> None:
        """Stop the loop. For the host only."""
        super().stop()

    def refuse(self, what: str) -> None:
        """Raise if user code calls this.

        Args:
            what: The refused action, after "a workflow may not".

        Raises:
            RuntimeError: The caller is user code.
        """
        if program.get() is None and (self.at_rest or not self.is_running()):
            return
        raise RuntimeError(_refusal(what))

    # ------------------------------------------------------------ wake-ups

    @override
    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for the loop's next round, unless it would wake a program that is not to run."""
        owner = program.get() if context is None else context.get(program)
        if owner is not None and owner is self.active and threading.get_ident() == self._own_thread:
            return super().call_soon(callback, *args, context=context)
        return self._call_for_others(owner, callback, args, context)

    def _call_for_others(
        self, owner: ProgramPort | None, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        asking = program.get()
        if owner is None and asking is not None and asking is self.active:  # the given context is empty
            return super().call_soon(callback, *args, context=owned(context))
        if owner is None:
            return super().call_soon_threadsafe(self._call_outside, callback, args, context=context)
        self.intruded.append(owner)
        self._write_to_self()  # type: ignore[attr-defined]  # the loop may wait, and this be another thread
        handle = asyncio.Handle(callback, args, self, context)
        handle.cancel()
        return handle

    @override
    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback from any thread. Other threads cannot wake a program."""
        return self.call_soon(callback, *args, context=context)

    def _call_outside(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Run a callback that belongs to no program, outside every program's context."""
        active, self.active = self.active, None
        try:
            callback(*args)
        except BaseException as error:  # noqa: BLE001  no caller could receive it
            self.call_exception_handler({"message": "a callback of no program raised", "exception": error})
        finally:
            self.active = active

    # ------------------------------------------------------------ errors and abandoned generators

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Write to stderr what a callback raised, or a task that was not awaited. Never raises.

        Failures in a program that was cut short are not written. Its code would have received them later, and receives
        them after its restart.
        """
        handle: Any = context.get("handle")
        owner = None if handle is None else handle._context.get(program)  # noqa: SLF001  asyncio's own handle
        if owner is not None and owner is not self.active:  # a task was thrown away that was about to run
            return
        left = maker(context.get("future", context.get("task")))
        if left is not None and left.ended and not left.ran_out:
            return
        error = context.get("exception")
        lines = [str(context.get("message") or "an error in the event loop")]
        if isinstance(error, BaseException):
            if getattr(_collecting, "now", False):
                lines.append(explain_without_source(error))
            else:
                failure = describe_exception(error)
                lines.append(failure.report() or failure.sentence())
        try:
            sys.stderr.write("\n".join(line for line in lines if line) + "\n")
        except (OSError, ValueError, AttributeError):  # user code has closed or replaced stderr
            return

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Close an asynchronous generator that the running program has dropped.

        A generator found by Python's garbage collector may belong to another program, and is found at a moment that no
        replay repeats. Such a generator is dropped, as at the end of a process.
        """
        owner = program.get()
        collected = getattr(_collecting, "now", False)
        if owner is not None and owner is self.active and not collected and not self.is_closed():
            self.call_soon(self.create_task, agen.aclose())

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        """Keep no list of generators, because the loop is never closed in an orderly way."""


def _sealed(name: str) -> Callable[..., Any]:
    method = getattr(asyncio.SelectorEventLoop, name)
    what = _DOES.get(name, "use sockets and pipes")

    @functools.wraps(method)
    def asked(self: SealedLoop, *args: Any, **kwargs: Any) -> Any:
        self.refuse(what)
        return method(self, *args, **kwargs)

    return asked


for _name in dir(asyncio.SelectorEventLoop):
    if not _name.startswith("_") and _name not in OPEN and callable(getattr(asyncio.SelectorEventLoop, _name)):
        setattr(SealedLoop, _name, _sealed(_name))
