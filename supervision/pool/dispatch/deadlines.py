"""Deadlines of attempts: one timer of the loop for all attempts of a pool.

Nearly every attempt ends long before its deadline, so the deadlines are not sorted. The timer is set for the earliest
one. When it fires, all deadlines are compared with the time, and the next one is found.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from greenroom.supervision.pool.workers.pending_job import PendingJob


class Deadlines:
    """The deadlines of a pool's attempts. Reactor thread only.

    Args:
        loop: The reactor's loop, whose clock is used.
        over: Called with each attempt whose time is over, after its deadline was removed.
    """

    def __init__(self, loop: AbstractEventLoop, over: Callable[[PendingJob], None]) -> None:
        """Start without deadlines."""
        self._loop = loop
        self._over = over
        self._dues: dict[PendingJob, float] = {}
        self._timer: TimerHandle | None = None
        self._at = 0.0
        """Time for which the timer is set."""

    def set(self, pending: PendingJob, seconds: float) -> None:
        """Set the deadline of an attempt, in seconds from now."""
        now = self._loop.time()
        self._dues[pending] = due = now + seconds
        if self._timer is None or due < self._at:
            self._arm(due, now)

    def forget(self, pending: PendingJob) -> None:
        """Remove the deadline of an attempt, if it has one."""
        self._dues.pop(pending, None)

    def _arm(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = due
        self._timer = self._loop.call_later(due - now, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = max(self._loop.time(), self._at)  # loops fire timers early, by up to their clock's resolution
        for pending in [pending for pending, due in self._dues.items() if due <= now]:
            del self._dues[pending]
            self._over(pending)
        if self._dues:
            self._arm(min(self._dues.values()), now)
