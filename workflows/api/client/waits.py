"""The waits of a client, which end when it is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from greenroom.messages.core.errors import OrchestratorClosed

T = TypeVar("T")


class Waits:
    """Waits for what may take the server long. Thread-safe.

    Closing a connection wakes nobody who waits for data from it, so each wait says what ends it.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._ends: Final[set[Callable[[], object]]] = set()
        """Put in and taken out by who waits; called by who closes the client."""
        self._over = False

    @contextmanager
    def ended_by(self, end: Callable[[], object]) -> Generator[None]:
        """Have a function called, by any thread, if the client is closed before this block is left."""
        self._ends.add(end)
        try:
            if self._over:  # closed just now
                self.end()
            yield
        finally:
            self._ends.discard(end)

    async def until(self, work: Awaitable[T]) -> T:
        """Await something.

        Raises:
            OrchestratorClosed: The client was closed meanwhile.
        """
        loop = asyncio.get_running_loop()
        patience = asyncio.timeout(None)

        def stop() -> None:
            if end in self._ends:  # on the thread of those who wait: they still do
                patience.reschedule(loop.time())

        def end() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(stop)

        try:
            async with patience:
                with self.ended_by(end):
                    return await work
        except TimeoutError:
            if not patience.expired():
                raise
            msg = "this client was closed while it waited; what it waited for goes on"
            raise OrchestratorClosed(msg) from None

    def end(self) -> None:
        """End all of them, for good."""
        self._over = True
        for end in tuple(self._ends):
            with suppress(OSError):  # its connection has broken off
                end()
