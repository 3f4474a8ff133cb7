"""HTTP connections, each with a limited time for its request, and limited in number."""

import asyncio
from typing import Any, Final

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from greenroom.dashboard.responses.large_responses import ABORT
from greenroom.supervision.kernel.connection_limit import ConnectionLimit
from greenroom.supervision.kernel.descriptor_limit import share

MOST: Final = 512
PARTS: Final = 4
"""Share of this process's descriptors that HTTP connections may use: one in four."""


def limit_connections(timeout: float) -> type[asyncio.Protocol]:
    """Return a protocol class for one server. Its connections share one limit.

    Args:
        timeout: Seconds within which a connection must send a complete request.
    """
    limit = ConnectionLimit[LimitedProtocol](share(PARTS, MOST), _close, timeout)
    return type("LimitedProtocol", (LimitedProtocol,), {"limit": limit})


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which reports its connection to a limit. Server loop only."""

    limit: "ConnectionLimit[LimitedProtocol]"
    """Shared by all connections of a server."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.limit.open(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.limit.discard(self)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.limit.receive(self)
        super().data_received(data)

    @override
    def handle_events(self) -> None:
        super().handle_events()
        cycle: Any = self.cycle
        if cycle is None:
            return
        cycle.scope[ABORT] = self.transport.abort
        if not self._is_idle() and not cycle.more_body and not self.transport.is_closing():
            self.limit.start(self)

    @override
    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self.limit.finish(self)
        super().on_response_complete()  # it may start the next pipelined request

    def _is_idle(self) -> bool:
        """Return whether no request is being read or answered."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete


def _close(connection: LimitedProtocol) -> None:
    connection.transport.close()
