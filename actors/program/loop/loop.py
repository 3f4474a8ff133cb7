"""The event loop of programs: asyncio with durable timers, and with a callback when nothing is ready.

Replay is exact because a program receives outcomes one at a time. The next one follows only after everything that the
previous one set off has run. A loop enters its selector when nothing is ready, so that is where the next outcome is
delivered.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from typing_extensions import TypeVarTuple, Unpack, override

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.program.loop.loop_guard import SealedLoop, owned
from greenroom.actors.program.loop.tasks import Future, ProgramTask
from greenroom.actors.program.scope import scope
from greenroom.messages.core.times import seconds

Ts = TypeVarTuple("Ts")


class DurableTimer(asyncio.TimerHandle):
    """A callback that runs when a journaled timer is recorded as fired, before or after a restart of the program."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
        *,
        key: str,
        owner: ProgramPort,
    ) -> None:
        """Remember the callback; the owner records the timer."""
        own = copy_context() if context is None else context
        super().__init__(when, callback, args, loop, own)
        self.key = key
        self._owner: ProgramPort | None = owner
        self._fire: Callable[[], object] = lambda: loop.call_soon(callback, *args, context=own)

    def fire(self) -> None:
        """Run the callback in the loop's next turn, unless cancelled."""
        self._owner = None
        if not self.cancelled():
            self._fire()

    @override
    def cancel(self) -> None:
        """Withdraw the timer if it has not fired."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.withdraw_timer(self)
        super().cancel()


class _IdleSelector(selectors.DefaultSelector):
    """A selector that asks for more work before it waits."""

    def __init__(self, on_idle: Callable[[], bool]) -> None:
        super().__init__()
        self._on_idle = on_idle
        self.now = time.monotonic()
        """When the last wait ended."""
        self._polled = True
        """Whether descriptors were looked at in the last call."""

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A loop passes 0 while callbacks are ready. Any other value means that every task waits for something.
        if (timeout is None or timeout > 0) and self._on_idle():
            if self._polled:  # every second time is enough, and is half of the system calls
                self._polled = False
                self.now = time.monotonic()
                return []
            timeout = 0
        self._polled = True
        ready = super().select(timeout)
        self.now = time.monotonic()
        return ready


class ProgramLoop(SealedLoop):
    """Runs the programs of one worker process, in its main thread.

    Args:
        on_idle: Called whenever nothing is ready. Returns True if it made something ready.
    """

    def __init__(self, on_idle: Callable[[], bool]) -> None:
        """Create the loop, in the thread that will run it."""
        self._on_idle = on_idle
        self._idle_selector = _IdleSelector(self._rest)
        super().__init__(self._idle_selector)

    def _rest(self) -> bool:
        self.at_rest = True
        try:
            return self._on_idle()
        finally:
            self.at_rest = False

    @override
    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        """Create a task. One created by a program's code belongs to the program, with a scope below its creator's."""
        owner, parent = program.get(), scope.get()
        if owner is None or parent is None:
            if self.is_running() and not self.at_rest:
                coro.close()
                self.refuse("start tasks from outside of its own code")
            return super().create_task(coro, name=name, context=context, **options)
        place = parent.child()
        context = copy_context() if context is None else context.copy()
        context.run(program.set, owner)
        context.run(scope.set, place)
        task = ProgramTask(coro, place, loop=self, name=name, context=context, **options)
        owner.add_task(task)
        return task

    @override
    def create_future(self) -> "asyncio.Future[Any]":
        """Create a future. One created by a program has a deterministic hash."""
        return super().create_future() if scope.get() is None else Future(loop=self)

    @override
    def time(self) -> float:
        """Return the loop's time, which does not change while callbacks run.

        For a program's code this is the seconds from its start to the newest outcome that it knows, the same on every
        replay. A timer is set for a moment, but recorded as a delay from now. Both agree, however long the code in
        between takes, because this time stands still.
        """
        owner = program.get()
        return self._idle_selector.now if owner is None else owner.elapsed()

    @override
    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer: a durable one for a program's code, an ordinary one otherwise."""
        owner, place = program.get(), scope.get()
        if owner is None or place is None:
            return super().call_at(when, self._call_outside, callback, args, context=context)
        timer = DurableTimer(when, callback, args, self, owned(context), key=place.key("timer"), owner=owner)
        owner.set_timer(timer, round(seconds(when - self.time(), "a wait"), 6))  # a sum of floats is not exact
        return timer
