"""A limit on the connections of one listening socket, so that idle ones cannot use up the process's descriptors.

Each connection uses a descriptor of this process until it is closed. Two rules limit that. A connection that does not
send a whole request within a timeout is closed. If there are too many connections, a new one replaces the one that has
waited longest without a request, so that callers with requests are served.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from loguru import logger

from greenroom.messages.advice import raise_files
from greenroom.supervision.kernel.descriptor_limit import EXHAUSTED

C = TypeVar("C")

REQUEST_TIMEOUT: Final = 10.0
"""Seconds in which a connection has to send a whole request."""
ENOUGH: Final = "65536"
"""Limit of open files that error messages recommend."""
QUIET: Final = 10.0
"""Seconds for which a repeated message about descriptors is left out of the log."""


class ConnectionLimit(Generic[C]):
    """Limits the open connections of one listening socket. Use in the loop's thread only.

    Args:
        most: Most connections at once.
        close: Closes a connection. Called from ``open``, or from a timer of the running loop.
        timeout: Seconds in which a connection has to send a whole request.
    """

    def __init__(self, most: int, close: Callable[[C], object], timeout: float = REQUEST_TIMEOUT) -> None:
        """Start without connections."""
        self.most = most
        self.timeout = timeout
        self._close = close
        self._busy: set[C] = set()
        self._waiting: dict[C, asyncio.TimerHandle | None] = {}
        """Connections that have not sent a whole request, longest waiting first, with the timers that close them."""

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._busy) + len(self._waiting)

    def open(self, connection: C) -> None:
        """Add a new connection. If there are too many, close one: this one if all others have sent requests."""
        self.receive(connection)
        if len(self) > self.most:
            longest = next(iter(self._waiting))
            self._forget(longest)
            self._close(longest)

    def receive(self, connection: C) -> None:
        """Start the timeout of a connection's request, unless it was started already."""
        if self._waiting.get(connection) is None:
            self._busy.discard(connection)
            loop = asyncio.get_running_loop()
            self._waiting[connection] = loop.call_later(self.timeout, self._close, connection)

    def start(self, connection: C) -> None:
        """Record that a whole request has arrived; the timeout no longer applies."""
        self._forget(connection)
        self._busy.add(connection)

    def finish(self, connection: C) -> None:
        """Record that a request was answered. The connection may stay open for another one while there is room."""
        self._forget(connection)
        self._waiting[connection] = None

    def discard(self, connection: C) -> None:
        """Remove a connection that was closed."""
        self._forget(connection)

    def _forget(self, connection: C) -> None:
        self._busy.discard(connection)
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()


def report_exhaustion(loop: asyncio.AbstractEventLoop, what: str) -> None:
    """Log in one line, and not repeatedly, that the loop has no descriptors left to accept connections.

    Connections then wait in the kernel's queue, and the loop tries again every second. Other errors of the loop's
    callbacks are handled as before.

    Args:
        loop: The loop that accepts the connections.
        what: The server that they belong to, for the message.
    """
    last = float("-inf")

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in EXHAUSTED and "socket" in context):
            loop.default_exception_handler(context)
        elif loop.time() - last >= QUIET:
            last = loop.time()
            way = "raise their number before it is started, for instance with " + raise_files(ENOUGH)
            logger.warning("{} wait: {}; close what holds them, or {}", what, error.strerror, way)

    loop.set_exception_handler(handle)
