"""Find the deaths that were out-of-memory kills by the kernel, which counts such kills but names no process.

So each kill explains at most one death, and only one that follows at once. A process of the same memory control group
that is killed later was not killed for lack of memory.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from greenroom.supervision.kernel import linux

SETTLED: Final = 1.0
"""Seconds after which a sign of life was certainly read. A kill counted by then was not that of its worker."""


class Ledger:
    """The out-of-memory kills of this process's control group that have explained a death. Thread-safe.

    Args:
        count: Returns the number of kills so far.
    """

    def __init__(self, count: Callable[[], int] = linux.oom_kills) -> None:
        """Start with none explained."""
        self.count = count
        self._lock = threading.Lock()  # orchestrators of one process share the group, and each has its reactor
        self._explained: set[int] = set()

    def claim(self, after: int) -> bool:
        """Claim the oldest unclaimed kill after the first ``after`` kills; return False if there is none."""
        with self._lock:
            free = next((kill for kill in range(after, self.count()) if kill not in self._explained), None)
            if free is not None:
                self._explained.add(free)
        return free is not None


class OomWatch:
    """The number of kills when one worker was last known to be alive. Reactor thread only.

    Args:
        ledger: The kills of the worker's control group.
        clock: Returns monotonic seconds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the count for the first time, before the worker starts."""
        self._ledger = ledger
        self._clock = clock
        self._before = self._newest = ledger.count()
        self._looked_at = clock()

    def lives(self) -> None:
        """Record a sign of life. It takes effect with a later one, as it may be read after its worker was killed."""
        now = self._clock()
        if now - self._looked_at >= SETTLED:
            self._before, self._newest, self._looked_at = self._newest, self._ledger.count(), now

    def explains(self) -> bool:
        """Return whether the worker's death by a SIGKILL that was not ours was such a kill. Call this once."""
        return self._ledger.claim(self._before)


LEDGER: Final = Ledger()
"""The ledger of this process."""
