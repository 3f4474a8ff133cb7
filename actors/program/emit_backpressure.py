"""What holds a program back that emits faster than its values can be written."""

import asyncio
from typing import Final

MOST_VALUES: Final = 500
MOST_BYTES: Final = 1024 * 1024
"""What a program may emit before it waits for all of it to be on the disk."""


class Valve:
    """Lets values pass until there are many, and then waits. Used on the program's loop only.

    Where it waits is counted from calls alone, which are the same on every replay. While it waits, the program hears of
    no outcome: so whatever was held back goes on before the next outcome, both where that takes a trip to the disk and
    on a replay, where it takes none.
    """

    def __init__(self) -> None:
        """Begin open."""
        self._values = 0
        self._bytes = 0
        self._opened = asyncio.Event()
        self._opened.set()
        self._waiting = 0
        self._asked = False

    @property
    def waits(self) -> bool:
        """True while some task is held back."""
        return self._waiting > 0 and not self._opened.is_set()

    @property
    def asked(self) -> bool:
        """True while the answer to ``ask`` is on its way."""
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
        """Say whether it has to be asked for when everything is on the disk. True once per wait."""
        asks = self.waits and not self._asked
        self._asked |= asks
        return asks

    def written(self) -> None:
        """Let go on who was held back: everything is on the disk. Nothing where that was not asked for."""
        if self._asked:
            self.open()

    def open(self) -> None:
        """Let go on who was held back."""
        self._asked = False
        self._values = self._bytes = 0
        self._opened.set()
