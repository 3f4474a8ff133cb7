"""Backpressure for programs that emit faster than their values are committed."""

import asyncio
from typing import Final

MOST_VALUES: Final = 500
MOST_BYTES: Final = 1024 * 1024
"""Most values, and most bytes of them, that a program may emit before it waits for their commit."""


class EmitBackpressure:
    """A valve that lets values pass until there are too many, and then waits. Used on the program's loop only.

    It closes after a count of calls and bytes, which is the same on every replay. While it is closed the program
    receives no outcome. So blocked tasks continue before the next outcome in both cases: the first time, after the
    commit, and on a replay, at once.
    """

    def __init__(self) -> None:
        """Start open."""
        self._values = 0
        self._bytes = 0
        self._opened = asyncio.Event()
        self._opened.set()
        self._waiting = 0
        self._asked = False

    @property
    def waits(self) -> bool:
        """True while a task is blocked."""
        return self._waiting > 0 and not self._opened.is_set()

    @property
    def asked(self) -> bool:
        """True between ``ask`` and its answer."""
        return self._asked

    async def enter(self) -> None:
        """Wait until a value may pass."""
        self._waiting += 1
        try:
            while not self._opened.is_set():
                await self._opened.wait()
        finally:
            self._waiting -= 1

    def passed(self, size: int) -> None:
        """Count a value of ``size`` bytes."""
        self._values += 1
        self._bytes += size
        if self._values >= MOST_VALUES or self._bytes >= MOST_BYTES:
            self._opened.clear()

    def ask(self) -> bool:
        """Return whether to ask now for a notice that everything is committed. True once per wait."""
        asks = self.waits and not self._asked
        self._asked |= asks
        return asks

    def written(self) -> None:
        """Release blocked tasks, because everything is committed. Does nothing without an earlier ``ask``."""
        if self._asked:
            self.open()

    def open(self) -> None:
        """Release blocked tasks."""
        self._asked = False
        self._values = self._bytes = 0
        self._opened.set()
