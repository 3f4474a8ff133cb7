"""The limit of processes of a tool: the supervisor counts the process tree of each busy worker, and kills one above it.

No limit of the kernel counts one worker's tree for every user: RLIMIT_NPROC does not hold for root, and control groups
are seldom ours to write. So the tree is counted ten times a second. Between two counts there may be more processes. For
users other than root the kernel bounds how many (``supervision/process/resource_limits.py``).
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Mapping
from typing import Final

from greenroom.messages.core.failures import Exit
from greenroom.supervision.kernel.linux import count_descendants
from greenroom.supervision.pool.workers.worker_slot import Slot

INTERVAL: Final = 0.1
"""Seconds between two counts."""


class ProcessLimit:
    """Counts the processes of one pool's workers while there are any. Reactor thread only.

    Args:
        loop: The reactor's loop.
        most: Processes that an attempt may have besides its worker; None for no limit, and no count.
        slots: The workers, by id.
    """

    def __init__(self, loop: AbstractEventLoop, most: int | None, slots: Mapping[str, Slot]) -> None:
        """Keep the arguments; ``start`` begins the counts."""
        self._loop = loop
        self._most = most
        self._slots = slots
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """Start the counts, unless they are running or nothing is limited."""
        if self._timer is None and self._most is not None:
            self._timer = self._loop.call_later(INTERVAL, self._tick, self._most)

    def stop(self) -> None:
        """Stop the counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, most: int) -> None:
        self._timer = None
        for slot in list(self._slots.values()):
            if (
                slot.state == "ready"
                and slot.jobs
                and slot.pid is not None
                and count_descendants(slot.pid, most) > most
            ):
                detail = f"its limit is {most} besides the worker; `processes=` gives it more"
                slot.kill(Exit(kind="process_limit", detail=detail))
        if self._slots:
            self.start()
