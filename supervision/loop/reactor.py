"""The reactor: an asyncio loop in its own thread, on which every actor of the orchestrator runs.

Sockets, pidfds, timers and actors share this loop. So they need no locks, and a worker's message reaches its actor
without a change of threads. No callback may block.
"""

import asyncio
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BURST = 256
"""Most calls in one turn of the loop, before sockets and timers are handled."""


class _Selector(selectors.DefaultSelector):
    """A selector that reads input before timers fire.

    After a process was stopped, or its machine slept, the interrupted wait has timed out. Python then reports no input
    without a check. Timers that fire next would treat answers as overdue that have arrived already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: Callable[[], bool] | None = None
        self.at_turn_end: list[Callable[[], None]] = []

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.at_turn_end:
            for function in self.at_turn_end:
                function()
            self.at_turn_end.clear()
        # A loop passes 0 while callbacks are ready, so anything else means that it would wait now.
        if self.on_idle is not None and (timeout is None or timeout > 0):
            found = super().select(0)
            if found:
                return found
            if self.on_idle():
                timeout = 0
        found = super().select(timeout)
        return found if found or timeout is None or timeout <= 0 else super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """A loop that handles everything that its readers and their callbacks schedule in the same turn.

    A worker's message leads to calls of actors, and to steps of tasks. Each further turn would cost a poll of every
    descriptor, and on a busy loop everything else that is ready would come first.
    """

    _ssock: socket.socket
    """The end that is read of the pair with which asyncio wakes the loop."""
    time = staticmethod(monotonic)  # pyright: ignore[reportAssignmentType]  # the base has a method that calls it

    def __init__(self, selector: _Selector, hear: Callable[..., None], call: Callable[..., None]) -> None:
        super().__init__(selector)
        self.at_turn_end = selector.at_turn_end
        self._hear = hear
        self._call = call

    @override
    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback in this turn, after those that are scheduled already."""
        handle = asyncio.Handle(callback, args, self, context)
        self._call(_run, handle)
        return handle

    @override
    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback from any thread."""
        if self.is_closed():
            msg = "Event loop is closed"
            raise RuntimeError(msg)
        return self.call_soon(callback, *args, context=context)

    def _read_from_self(self) -> None:
        """Read what other threads have written to wake the loop; more than this is read in the next turn."""
        try:  # noqa: SIM105  that would cost three calls
            self._ssock.recv(4096)
        except (BlockingIOError, InterruptedError):
            pass

    @override
    def add_reader(self, fd: Any, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        super().add_reader(fd, self._hear, callback, args)


_NEXT_TURN: Final = asyncio.SelectorEventLoop.call_soon
_NEXT_TURN_THREADSAFE: Final = asyncio.SelectorEventLoop.call_soon_threadsafe


def _run(handle: asyncio.Handle) -> None:
    if not handle.cancelled():
        handle._run()  # noqa: SLF001  as every loop does


def at_turn_end(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function once, after everything that is ready now, before the loop looks at its descriptors again.

    The function must schedule nothing and must not raise. On another loop than a reactor's it is called soon.
    """
    if isinstance(loop, _Loop):
        loop.at_turn_end.append(function)
    else:
        loop.call_soon(function)


class _Result(Future[T]):
    """The result of a coroutine that runs on a reactor, for other threads."""

    def __init__(self, reactor: "Reactor") -> None:
        super().__init__()
        self.task: asyncio.Task[T] | None = None
        self._reactor = reactor

    @override
    def cancel(self) -> bool:
        """Cancel the coroutine as well."""
        cancelled = super().cancel()
        if cancelled and self.task is not None:
            self._reactor.call(self.task.cancel)
        return cancelled


class Reactor:
    """The loop and its thread. It is started once and stopped once."""

    def __init__(self, name: str = "greenroom-reactor") -> None:
        """Create the loop; ``start`` runs it."""
        self._selector = _Selector()
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._awake = False
        """Whether a turn for the waiting calls is scheduled already."""
        self.loop: asyncio.SelectorEventLoop = _Loop(self._selector, self._hear, self.call)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread_id: int | None = None
        """Id of the reactor's thread, which writes it first of all. Any thread may read it."""
        self._submitted: set[Future[Any]] = set()
        """Results of coroutines that are awaited in other threads."""
        self._stopped = False

    def __repr__(self) -> str:
        """Return whether the loop runs."""
        return f"<Reactor {self._thread.name} {'running' if self._thread.is_alive() else 'not running'}>"

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        self.thread_id = threading.get_ident()
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self._stopped = True  # before the futures are cancelled, so that later callers see it
            for result in tuple(self._submitted):
                result.cancel()
            self.loop.run_until_complete(self._end_tasks())
            self.loop.close()

    async def _end_tasks(self) -> None:
        """Cancel the tasks that still run, so that no caller waits for them forever."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def on_idle(self, callback: Callable[[], bool] | None) -> None:
        """Call ``callback`` whenever nothing is ready, before the loop waits; None removes it. Reactor thread only.

        The callback returns True if it made something ready. An exception from it ends the loop.
        """
        self._selector.on_idle = callback

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Schedule a call of ``function`` on the reactor's thread, in order of submission. Thread-safe.

        Calls made by calls run in the same turn of the loop, so that a message through several actors takes one turn.
        Do nothing once the reactor is stopped.
        """
        self._calls.append((function, args))
        if self._awake:
            return
        self._awake = True
        try:
            if threading.get_ident() == self.thread_id:
                _NEXT_TURN(self.loop, self._take_calls)
            else:
                _NEXT_TURN_THREADSAFE(self.loop, self._take_calls)
        except RuntimeError:  # the loop is closed, and so is the orchestrator
            if not self.loop.is_closed():
                raise

    def _hear(self, reader: Callable[..., object], args: tuple[object, ...]) -> None:
        """Call a reader, then handle the calls that it has made."""
        self._awake = True
        try:
            reader(*args)
        finally:
            self._take_calls()

    def _take_calls(self) -> None:
        calls = self._calls
        for _ in range(BURST):
            if not calls:
                # Cleared before the last check, so that a thread that appends after the check wakes the loop.
                self._awake = False
                if not calls:
                    return
                self._awake = True
            function, args = calls.popleft()
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001  the calls after it must not be lost
                self.loop.call_exception_handler({"message": f"a call of {function!r} failed", "exception": error})
        _NEXT_TURN(self.loop, self._take_calls)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the reactor from another thread and return a future of its result.

        The future is cancelled if the reactor stops before there is a result. Cancelling it cancels the coroutine.

        Raises:
            RuntimeError: The reactor has stopped, and its loop is closed.
        """
        if self.loop.is_closed():
            msg = "Event loop is closed"
            raise RuntimeError(msg)
        result = _Result[T](self)
        self._submitted.add(result)
        self.call(self._begin, coroutine, result)
        if self._stopped:
            result.cancel()
        return result

    def _begin(self, coroutine: Coroutine[Any, Any, T], result: "_Result[T]") -> None:
        """Run a coroutine. ``asyncio.run_coroutine_threadsafe`` does the same with three times as many calls."""
        result.task = task = asyncio.Task(coroutine, loop=self.loop)
        task.add_done_callback(partial(self._hand_on, result))
        if result.cancelled():  # perhaps before it had its task
            task.cancel()

    def _hand_on(self, result: "_Result[T]", task: asyncio.Task[T]) -> None:
        self._submitted.discard(result)
        if task.cancelled():
            result.cancel()
        elif result.set_running_or_notify_cancel():  # from here on nobody can cancel it
            error = task.exception()
            if error is None:
                result.set_result(task.result())
            else:
                result.set_exception(error)

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the loop, and wait up to ``timeout`` seconds for its thread. Any thread but the reactor's."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout)
