"""Deadlines of attempts: one timer of the loop for all attempts of a pool.

Nearly every attempt ends long before its time is over, so the deadlines are not kept in order. The timer is set for the
earliest one. Only when it goes off are all of them compared with the time, and the next one is found.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from greenroom.supervision.pool.pending_job import PendingJob


class Deadlines:
    """The deadlines of a pool's attempts. Reactor thread only.

    Args:
        loop: The reactor's loop, whose clock counts.
        over: Called with each attempt whose time is over, when its deadline has been removed.
    """

    def __init__(self, loop: AbstractEventLoop, over: Callable[[PendingJob], None]) -> None:
        """Create it without deadlines."""
        self._loop = loop
        self._over = over
        self._dues: dict[PendingJob, float] = {}
        self._timer: TimerHandle | None = None
        self._at = 0.0
        """What the timer is set for."""

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
        now = max(self._loop.time(), self._at)  # loops let timers go off a little early, by their clock's resolution
        for pending in [pending for pending, due in self._dues.items() if due <= now]:
            del self._dues[pending]
            self._over(pending)
        if self._dues:
            self._arm(min(self._dues.values()), now)
