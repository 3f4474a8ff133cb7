"""The server: an orchestrator's API on a socket, in a thread with a loop of its own."""

import asyncio
import errno
import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import uvicorn
from loguru import logger
from typing_extensions import override

from greenroom.dashboard.access.connection_limit import limit_connections
from greenroom.dashboard.access.origins import Origins
from greenroom.dashboard.access.token import Token, given_token, make_token
from greenroom.dashboard.api import make_app
from greenroom.dashboard.dependencies import Dependencies
from greenroom.messages.core.errors import CannotServe
from greenroom.supervision.kernel.connection_limit import REQUEST_TIMEOUT, report_exhaustion
from greenroom.supervision.kernel.descriptor_limit import share
from greenroom.workflows.api.orchestrator import Orchestrator

HOST: Final = "127.0.0.1"
PORT: Final = 7878
BACKLOG: Final = 128
"""Connections that may wait to be accepted. asyncio accepts as many in one go, before any can be closed."""
BACKLOG_PARTS: Final = 8
"""An eighth of this process's descriptors at most is for these."""
GRACE: Final = 1
"""Seconds that requests have to come to an end once the server is closed; then they are cut off."""
KEEP_ALIVE: Final = 75
"""Seconds for which an idle connection is kept: longer than clients do, so that it is they who close it."""
CLOSE_TIMEOUT: Final = 5.0
"""Seconds after which the server's thread is left to the end of the process."""


class Server:
    """Serves an orchestrator over HTTP from the moment it is made until ``close``, or the end of its ``with`` block.

    Close it before the orchestrator. May be used from any thread.

    Args:
        orchestrator: What is served.
        apps: Paths of the files, or dotted names of the modules, whose workflows may be started.
        host: Address or name to listen at. One that other machines reach needs a token that exists already.
        port: 0 takes any that is free.
        token: What callers have to show. None means ``GREENROOM_TOKEN``, else the one in the home, else a new one that
            is left there.
        request_timeout: Seconds in which a connection has to send a whole request; it is closed otherwise.
        allow_origins: Origins whose pages may call from a browser, such as ``"https://app.example"``; they need the
            token all the same. Pages of other origins are refused.

    Raises:
        CannotServe: The address is taken or does not exist, the token will not do, or an origin is none.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        apps: Sequence[str] = (),
        *,
        host: str = HOST,
        port: int = PORT,
        token: str | None = None,
        request_timeout: float = REQUEST_TIMEOUT,
        allow_origins: Sequence[str] = (),
    ) -> None:
        """Begin to listen; returns once requests are answered."""
        self._orchestrator = orchestrator
        try:
            origins = Origins(allow_origins)
        except ValueError as error:
            msg = f"cannot allow an origin: {error}"
            raise CannotServe(msg) from error
        family, address = _resolve(host, port)
        known = given_token(orchestrator.home, token)
        if known is None and not _is_loopback(address):
            msg = (
                f"at {host} other machines could reach the orchestrator, and there is no token yet: set "
                "GREENROOM_TOKEN, or serve on 127.0.0.1 first, which makes one"
            )
            raise CannotServe(msg)
        listener = _listen(family, address, host, port)
        self.token: Final[Token] = known or make_token(orchestrator.home)
        self.port: Final[int] = listener.getsockname()[1]
        everywhere = ipaddress.ip_address(address).is_unspecified
        self.url: Final = f"http://{_written(_loopback_of(family) if everywhere else host)}:{self.port}"
        """Where to ask; from this machine, where it listens at all addresses."""
        self.desk: Final = Dependencies(orchestrator, apps)
        hosts = () if everywhere else (host, address)
        config = uvicorn.Config(
            make_app(self.desk, self.token.value, hosts, origins),
            http=limit_connections(request_timeout),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,  # paths hold what callers call their runs
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            backlog=share(BACKLOG_PARTS, BACKLOG),
        )
        _log_to_ours()
        self._server = _Uvicorn(config, self.desk)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="greenroom-http", daemon=True)
        self._thread.start()
        self._server.begun.wait()
        if not self._server.started:
            msg = f"the HTTP server at {self.url} did not begin; its log says why"
            raise CannotServe(msg)
        orchestrator.announce(self.url)

    def __repr__(self) -> str:
        """Say where it listens."""
        return f"<Server at {self.url}>"

    def close(self) -> None:
        """Stop listening, tell everybody who waits, and end. May be repeated."""
        if self._thread.is_alive():
            self._server.leave()
            self._thread.join(CLOSE_TIMEOUT)
            self._orchestrator.announce(None)

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn in a thread, which says when it has begun, and lets those who wait know that it ends.

    It is not the main thread, so uvicorn leaves signals alone: they are the process's owner's.
    """

    def __init__(self, config: uvicorn.Config, desk: Dependencies) -> None:
        super().__init__(config)
        self.begun = threading.Event()
        """Set once it answers, or has ended without."""
        self._desk = desk

    @override
    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.begun.set()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        report_exhaustion(asyncio.get_running_loop(), "HTTP connections")
        await super().startup(sockets)
        self.begun.set()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._desk.close()
        await super().shutdown(sockets)

    def leave(self) -> None:
        """Have it end soon. Any thread."""
        self.should_exit = True


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Give the address of a host, that of this machine alone where it has several."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        msg = f"there is no host {host!r} to listen at; 127.0.0.1 is this machine, 0.0.0.0 all of its addresses"
        raise CannotServe(msg) from error
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, str(address[0])


def _loopback_of(family: socket.AddressFamily) -> str:
    return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def _written(host: str) -> str:
    """Write a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _listen(family: socket.AddressFamily, address: str, host: str, port: int) -> socket.socket:
    """Take the port.

    Raises:
        CannotServe: It is taken, or not ours to take.
    """
    # The protocol is named because asyncio sends small answers at once only where it is; else each waits for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        why = {
            errno.EADDRINUSE: "another program listens there",
            errno.EACCES: "ports below 1024 belong to root",
            errno.EADDRNOTAVAIL: "it is no address of this machine",
        }.get(number or 0, str(error))
        msg = f"cannot listen at {host} port {port}: {why}; choose another with --port or --host"
        raise CannotServe(msg) from error
    return listener


class _Forward(logging.Handler):
    """Takes what uvicorn says into our log, which is silent until it is configured."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "the HTTP server: {}", record.getMessage())


def _log_to_ours() -> None:
    """Keep uvicorn from writing to stderr by itself. Once per process."""
    theirs = logging.getLogger("uvicorn.error")
    if not any(isinstance(handler, _Forward) for handler in theirs.handlers):
        theirs.addHandler(_Forward(level=logging.WARNING))
        theirs.propagate = False
