"""Which deaths were kills of the kernel's for want of memory. It only counts those, and names no process.

So a kill of that kind explains one death at most, and only one that followed at once: what somebody else kills later,
in the same memory control group, was not killed for want of memory.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from greenroom.supervision.kernel import linux

SETTLED: Final = 1.0
"""Seconds after which a sign of life was surely read: a kill that was counted by then was not the end of its worker."""


class Ledger:
    """The kills of this process's memory control group, and which of them have explained a death. Any thread.

    Args:
        count: Gives how many there were so far.
    """

    def __init__(self, count: Callable[[], int] = linux.oom_kills) -> None:
        """Begin with none explained."""
        self.count = count
        self._lock = threading.Lock()  # orchestrators of one process, each with its reactor, share the group
        self._explained: set[int] = set()

    def claim(self, after: int) -> bool:
        """Take the oldest kill after the first ``after`` that has explained no death yet; False where there is none."""
        with self._lock:
            free = next((kill for kill in range(after, self.count()) if kill not in self._explained), None)
            if free is not None:
                self._explained.add(free)
        return free is not None


class OomWatch:
    """What the kernel had killed when one worker was last known to live. Reactor thread only.

    Args:
        ledger: The kills of the group that the worker is in.
        clock: Gives monotonic seconds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        """Look for the first time: the worker does not live yet."""
        self._ledger = ledger
        self._clock = clock
        self._before = self._newest = ledger.count()
        self._looked_at = clock()

    def lives(self) -> None:
        """Note a sign of life. It may have lain unread while its worker was killed, so it counts from the next on."""
        now = self._clock()
        if now - self._looked_at >= SETTLED:
            self._before, self._newest, self._looked_at = self._newest, self._ledger.count(), now

    def explains(self) -> bool:
        """Return whether the worker's death, by a SIGKILL that nobody here has sent, was such a kill. Asked once."""
        return self._ledger.claim(self._before)


LEDGER: Final = Ledger()
"""That of this process."""
