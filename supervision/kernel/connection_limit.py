"""A limit on the connections of one listening socket, so that idle ones cannot use up the process's descriptors.

Connecting costs the caller nothing, and each connection takes a descriptor here until it is closed. Two rules bound
that. A connection that does not send a whole request within a time is closed. When there are too many, the one that
has waited longest without a request makes room for the new one, so that a caller who does send a request is served.
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
"""Files that a shell may be told to allow, where they have run out."""
QUIET: Final = 10.0
"""Seconds for which a repeated message about descriptors is left out of the log."""


class ConnectionLimit(Generic[C]):
    """Keeps count of the open connections of one listening socket. The loop's thread only.

    Args:
        most: How many may be open at once.
        close: Closes one. It is called from ``open``, or from a timer of the running loop.
        timeout: Seconds in which a connection has to send a whole request.
    """

    def __init__(self, most: int, close: Callable[[C], object], timeout: float = REQUEST_TIMEOUT) -> None:
        """Start without connections."""
        self.most = most
        self.timeout = timeout
        self._close = close
        self._busy: set[C] = set()
        self._waiting: dict[C, asyncio.TimerHandle | None] = {}
        """Those that have not sent a whole request, longest waiting first, with what closes them in time."""

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._busy) + len(self._waiting)

    def open(self, connection: C) -> None:
        """Count a new connection. Where there are too many, one is closed: this one if all others have requests."""
        self.receive(connection)
        if len(self) > self.most:
            longest = next(iter(self._waiting))
            self._forget(longest)
            self._close(longest)

    def receive(self, connection: C) -> None:
        """Give a connection ``timeout`` seconds for its request, unless it has that limit already."""
        if self._waiting.get(connection) is None:
            self._busy.discard(connection)
            loop = asyncio.get_running_loop()
            self._waiting[connection] = loop.call_later(self.timeout, self._close, connection)

    def start(self, connection: C) -> None:
        """Note that a whole request has come: from now on the answer takes its time."""
        self._forget(connection)
        self._busy.add(connection)

    def finish(self, connection: C) -> None:
        """Note that a request is answered. The connection may stay for the next one while there is room."""
        self._forget(connection)
        self._waiting[connection] = None

    def discard(self, connection: C) -> None:
        """Forget a connection that is closed."""
        self._forget(connection)

    def _forget(self, connection: C) -> None:
        self._busy.discard(connection)
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()


def report_exhaustion(loop: asyncio.AbstractEventLoop, what: str) -> None:
    """Have the loop log in one line, and not again and again, that it has no descriptors left to accept connections.

    Connections then wait in the kernel's queue, and the loop tries again every second. Other errors of the loop's
    callbacks go the usual way.

    Args:
        loop: The loop that accepts them.
        what: Whose connections they are, for the message.
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
