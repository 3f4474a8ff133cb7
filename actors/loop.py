"""The loop that programs run on: asyncio with durable timers, which says when nothing is ready any more.

Replay is exact because outcomes reach a program one at a time, and the next only after everything that the one before
set off has run. The selector is where a loop goes when nothing is ready, so that is where the next outcome is handed
over.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

from typing_extensions import TypeVarTuple, Unpack, override

from understudy.actors.context import ProgramPort, program
from understudy.actors.scope import scope, scoped_task
from understudy.actors.sealed import SealedLoop, owned
from understudy.messages.times import seconds

Ts = TypeVarTuple("Ts")


class DurableTimer(asyncio.TimerHandle):
    """A callback that runs when a journaled timer is recorded as fired, in this life of the program or a later one."""

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
        """Remember what to call; the owner has it recorded."""
        super().__init__(when, callback, args, loop, context)
        self.key = key
        self._owner: ProgramPort | None = owner
        own = self._context  # type: ignore[attr-defined]  # that of who set it, where none was given
        self._fire: Callable[[], object] = lambda: loop.call_soon(callback, *args, context=own)

    def fire(self) -> None:
        """Run the callback in the loop's next turn, unless cancelled."""
        self._owner = None
        if not self.cancelled():
            self._fire()

    @override
    def cancel(self) -> None:
        """Withdraw the timer where it has not fired."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.drop_timer(self)
        super().cancel()


class _IdleSelector(selectors.DefaultSelector):
    """A selector that asks for more work before it waits."""

    def __init__(self, on_idle: Callable[[], bool]) -> None:
        super().__init__()
        self._on_idle = on_idle
        self.now = time.monotonic()
        """When the last wait was over."""

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A loop passes 0 while callbacks are ready, so anything else means that every task waits for something.
        if (timeout is None or timeout > 0) and self._on_idle():
            timeout = 0
        ready = super().select(timeout)
        self.now = time.monotonic()
        return ready


class ProgramLoop(SealedLoop):
    """Runs the programs of one worker process, in its main thread.

    Args:
        on_idle: Called whenever nothing is ready; returns True where it made something ready.
    """

    def __init__(self, on_idle: Callable[[], bool]) -> None:
        """Make the loop, with scoped tasks."""
        self._on_idle = on_idle
        self._idle_selector = _IdleSelector(self._rest)
        super().__init__(self._idle_selector)
        self.set_task_factory(self._create_scoped)  # pyright: ignore[reportArgumentType]

    def _rest(self) -> bool:
        self.at_rest = True
        try:
            return self._on_idle()
        finally:
            self.at_rest = False

    def _create_scoped(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        owner = program.get()
        if owner is None:
            if self.is_running():
                coroutine.close()
                self.refuse("start tasks from outside of its own code")
            return scoped_task(loop, coroutine, adopt=_ignore, **options)
        context = owned(options.pop("context", None))
        return scoped_task(loop, coroutine, adopt=owner.adopt, context=context, **options)

    @override
    def time(self) -> float:
        """Give the loop's time, which stands still while callbacks run.

        A timer is set for a moment and recorded as a wait from now on. However long the code in between takes, the one
        then says the same as the other, and nothing is due before its time.
        """
        return self._idle_selector.now

    @override
    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer: a durable one where a program's code asks, else an ordinary one."""
        owner, place = program.get(), scope.get()
        if owner is None or place is None:
            return super().call_at(when, self._call_outside, callback, args, context=context)
        timer = DurableTimer(when, callback, args, self, owned(context), key=place.key("timer"), owner=owner)
        owner.set_timer(timer, round(seconds(when - self.time(), "a wait"), 6))  # a sum is not taken apart exactly
        return timer


def _ignore(_task: "asyncio.Task[Any]") -> None:
    """Adopt nothing: the task belongs to no program."""
