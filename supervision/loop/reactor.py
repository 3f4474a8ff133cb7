"""The reactor: one asyncio loop in a thread of its own, where every actor of the orchestrator runs.

Sockets, pidfds, timers and actors share this one loop, so they need no locks between them and no thread hop from a
worker's bytes to the actor they are meant for. Nothing on it may block.
"""

import asyncio
import selectors
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BURST = 256
"""Calls taken in one turn of the loop before sockets and timers have theirs."""


class _Selector(selectors.DefaultSelector):
    """A selector that takes input before it lets time pass.

    A process that was stopped, or slept with its machine, wakes up with its wait interrupted and its time over, and
    Python then reports no input without looking. The timers that fire next would find overdue what was answered long
    ago.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: Callable[[], bool] | None = None

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
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
    """A loop that has what its readers lead to done in the turn in which they hear something.

    A message of a worker leads to calls of actors. To take them in another turn would cost a look at every descriptor.
    """

    def __init__(self, selector: selectors.BaseSelector, hear: Callable[..., None]) -> None:
        super().__init__(selector)
        self._hear = hear

    @override
    def add_reader(self, fd: Any, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        super().add_reader(fd, self._hear, callback, args)


class Reactor:
    """Owns the loop and its thread. Started once, stopped once."""

    def __init__(self, name: str = "greenroom-reactor") -> None:
        """Make the loop; it runs once ``start`` is called."""
        self._selector = _Selector()
        self.loop: asyncio.SelectorEventLoop = _Loop(self._selector, self._hear)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread_id: int | None = None
        """Written by the reactor's thread as its first act, read by everybody."""
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._awake = False
        """Whether somebody has seen to it that the calls are taken."""
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
            self._stopped = True  # before the look at who waits: who asks later sees it
            for result in tuple(self._submitted):
                result.cancel()
            self.loop.run_until_complete(self._end_tasks())
            self.loop.close()

    async def _end_tasks(self) -> None:
        """Cancel what still runs, so that nobody waits for it for ever."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def on_idle(self, callback: Callable[[], bool] | None) -> None:
        """Have ``callback`` called whenever nothing is ready, before the loop waits; None for nobody. Reactor's thread.

        It returns True where it made something ready. What it raises ends the loop.
        """
        self._selector.on_idle = callback

    def on_thread(self) -> bool:
        """Return whether the caller runs on the reactor's thread."""
        return threading.get_ident() == self.thread_id

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Have ``function`` called on the reactor's thread, soon and in order of calling. Any thread.

        Calls that lead to calls are taken in the same turn of the loop, so that a message that passes through several
        actors does not wait for a turn at each. Silently nothing once the reactor is stopped.
        """
        self._calls.append((function, args))
        if self._awake:
            return
        self._awake = True
        try:
            if threading.get_ident() == self.thread_id:
                self.loop.call_soon(self._take_calls)
            else:
                self.loop.call_soon_threadsafe(self._take_calls)
        except RuntimeError:  # the loop is closed: whoever is still calling does so into a finished orchestrator
            if not self.loop.is_closed():
                raise

    def _hear(self, reader: Callable[..., object], args: tuple[object, ...]) -> None:
        """Call a reader, and then take the calls that it has made."""
        self._awake = True
        try:
            reader(*args)
        finally:
            self._take_calls()

    def _take_calls(self) -> None:
        calls = self._calls
        for _ in range(BURST):
            if not calls:
                # The flag falls before the last look, so whoever appends after that look sees it down and wakes us.
                self._awake = False
                if not calls:
                    return
                self._awake = True
            function, args = calls.popleft()
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001  the calls behind it must not be lost
                self.loop.call_exception_handler({"message": f"a call of {function!r} failed", "exception": error})
        self.loop.call_soon(self._take_calls)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the reactor from another thread and return a future of its result.

        The future is cancelled if the reactor stops before there is a result.

        Raises:
            RuntimeError: The reactor has stopped, and its loop is closed.
        """
        result = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        self._submitted.add(result)
        result.add_done_callback(self._submitted.discard)
        if self._stopped:
            result.cancel()
        return result

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the loop and wait up to ``timeout`` seconds for its thread. Not from the reactor's own thread."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout)
