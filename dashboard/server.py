"""The HTTP server: an orchestrator's API on a socket, in a thread with a loop of its own."""

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
"""Connections that may wait to be accepted. asyncio accepts that many at once, before any can be closed."""
BACKLOG_PARTS: Final = 8
"""Share of this process's descriptors that these may use: one in eight."""
GRACE: Final = 1
"""Seconds that requests have to finish when the server is closed; then they are cut off."""
KEEP_ALIVE: Final = 75
"""Seconds for which an idle connection is kept: longer than clients keep it, so that the client closes it."""
CLOSE_TIMEOUT: Final = 5.0
"""Longest wait for the server's thread to end, in seconds."""


class Server:
    """Serves an orchestrator over HTTP from its creation until ``close``, or until the end of its ``with`` block.

    Close it before the orchestrator. Thread-safe.

    Args:
        orchestrator: The orchestrator to serve.
        apps: Paths of the files, or dotted names of the modules, whose workflows may be started.
        host: Address or name to listen on. An address that other machines can reach needs an existing token.
        port: 0 takes any free port.
        token: The token that callers must send. None means ``GREENROOM_TOKEN``, else the one in the home, else a new
            one that is written there.
        request_timeout: Seconds within which a connection must send a complete request; otherwise it is closed.
        allow_origins: Origins whose pages may call from a browser, such as ``"https://app.example"``. They need the
            token too. Pages of other origins are refused.
        mcp: Whether MCP clients are answered at ``/mcp``. Needs the extras ``mcp`` and ``client``.

    Raises:
        CannotServe: The address is taken or does not exist, the token is unfit, or an origin is invalid.
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
        mcp: bool = False,
    ) -> None:
        """Start listening. Returns once requests are answered."""
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
        """Address of the API; one for this machine if the server listens on all addresses."""
        self.desk: Final = Dependencies(orchestrator, apps)
        hosts = () if everywhere else (host, address)
        config = uvicorn.Config(
            make_app(self.desk, self.token.value, hosts, origins, mcp=mcp),
            http=limit_connections(request_timeout),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,  # paths hold ids that callers chose
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
        """Return a description with the address."""
        return f"<Server at {self.url}>"

    def close(self) -> None:
        """Stop listening, answer the waiting requests, and end. Further calls do nothing."""
        if self._thread.is_alive():
            self._server.leave()
            self._thread.join(CLOSE_TIMEOUT)
            self._orchestrator.announce(None)

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the server."""
        self.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn in a thread. It signals when it has started, and wakes waiting requests when it ends.

    It is not the main thread, so uvicorn installs no signal handlers.
    """

    def __init__(self, config: uvicorn.Config, desk: Dependencies) -> None:
        super().__init__(config)
        self.begun = threading.Event()
        """Set once it answers, or has failed to start."""
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
        """Ask it to end. Thread-safe."""
        self.should_exit = True


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Return the address of a host; the loopback address if it has several."""
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
    """Return a host as it is written in a URL."""
    return f"[{host}]" if ":" in host else host


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _listen(family: socket.AddressFamily, address: str, host: str, port: int) -> socket.socket:
    """Bind the port.

    Raises:
        CannotServe: The port is taken, or not permitted.
    """
    # asyncio sets TCP_NODELAY only if the protocol is named; otherwise small answers wait for 40 ms.
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
            errno.EADDRNOTAVAIL: "it is not an address of this machine",
        }.get(number or 0, str(error))
        msg = f"cannot listen at {host} port {port}: {why}; choose another with --port or --host"
        raise CannotServe(msg) from error
    return listener


class _Forward(logging.Handler):
    """Passes uvicorn's messages to our log, which is silent until it is configured."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "the HTTP server: {}", record.getMessage())


def _log_to_ours() -> None:
    """Keep uvicorn from writing to stderr. Once per process."""
    theirs = logging.getLogger("uvicorn.error")
    if not any(isinstance(handler, _Forward) for handler in theirs.handlers):
        theirs.addHandler(_Forward(level=logging.WARNING))
        theirs.propagate = False
