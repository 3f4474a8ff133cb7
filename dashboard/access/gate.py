"""The gate: ASGI middleware that checks the token, the host, the origin and the body of every request."""

import ipaddress
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final

from loguru import logger
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.dashboard.access.origins import Origins, Pairs
from greenroom.dashboard.access.token import is_authorized
from greenroom.dashboard.pages.files import SECURITY, is_page
from greenroom.dashboard.paths import routed_path
from greenroom.dashboard.responses import problems
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.json_scanner import normal
from greenroom.messages.frames.envelope import IN_A_FILE
from greenroom.messages.refusals import LONGEST_ARGUMENTS

MAX_BODY_BYTES: Final = LONGEST_ARGUMENTS + 1024 * 1024
"""Maximum size of a request's body: the longest command that an orchestrator takes, and what stands around it."""
OPEN_PATHS: Final = frozenset({"/healthz"})
"""Paths that need no token."""
SAFE_HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Gate:
    """Middleware in front of the app.

    Args:
        app: The ASGI app behind the gate.
        token: The token that every request must carry.
        hosts: Names by which requests may call this server, besides those of the loopback; ports do not matter. Empty
            if the server is bound to all addresses; then any IP address is accepted as a host, because an attacker's
            page can only reach this server under a domain name.
        origins: Other origins whose pages may call. Their requests need the token too.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str], origins: Origins) -> None:
        """Keep the values to compare requests with."""
        self._app = app
        self._token = token
        self._hosts = LOCAL_NAMES | {host.lower() for host in hosts}
        self._any_address = not hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the app, or answer it with a problem."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        found = self._check(scope, headers)
        body = b""
        read = not _announces_body(headers)
        if found is None and not is_open(scope["path"]):
            body, found = await _take_body(headers, receive)
            read = read or found is None
        more = (*SAFE_HEADERS, *self._origins.headers(headers))
        if is_page(scope["path"]):
            more = (*more, *SECURITY)
        # An unread body would be parsed as the next request, or might never arrive: close the connection.
        answer = Answer(send, more if read else (*more, (b"connection", b"close")), head=scope["method"] == "HEAD")
        if found is not None:
            asked = {"WWW-Authenticate": "Bearer"} if found.status == 401 else {}  # noqa: PLR2004  by the standard
            with suppress(HeadersSent):
                await problems.response(found, asked)(scope, receive, answer)
            return
        if (allowed := self._origins.preflight(scope["method"], headers)) is not None:
            await _permit(allowed, Answer(send, SAFE_HEADERS))
            return
        try:
            await self._app(_understood(scope, body), Body(body, receive), answer)
        except HeadersSent:
            return
        except Exception as error:  # noqa: BLE001  only the server is above, and it would print a traceback
            logger.opt(exception=error).error("{} {} could not be answered", scope["method"], scope["path"])
            if not answer.begun:
                await problems.response(problems.problem("internal", "the request could not be carried out"))(
                    scope, receive, answer
                )

    def _check(self, scope: Scope, headers: Headers) -> problems.Problem | None:
        if "transfer-encoding" in headers and "content-length" in headers:
            return problems.problem("bad_request", "the request gives two lengths: Content-Length and chunks")
        named = headers.getlist("host")
        if len(named) != 1 or not self._knows(host_of(named[0])):
            return problems.problem("forbidden_host", f"this server is not called {', '.join(named) or 'nothing'!r}")
        origin = headers.get("origin")
        if (foreign := self._foreign(scope["path"], origin, named[0].lower(), headers)) is not None:
            return problems.problem("forbidden_origin", foreign)
        if is_open(scope["path"]) or self._origins.preflight(scope["method"], headers) is not None:
            return None
        if not is_authorized(headers.get("authorization", ""), self._token):
            return problems.problem("unauthorized", "the request has no token, or not this server's")
        return None

    def _foreign(self, path: str, origin: str | None, host: str, headers: Headers) -> str | None:
        """Return why a request from a page of another origin is refused; None if it is not."""
        if origin in self._origins:
            return None
        if origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}:
            return (
                f"a page of another origin, {origin!r:.200}, has sent this request, and it is not among those allowed"
            )
        site = headers.get("sec-fetch-site", "none")
        # A followed link opens the page, and the page that held the link cannot read the answer.
        opened = is_page(path) and headers.get("sec-fetch-mode") == "navigate"
        if site not in {"none", "same-origin"} and not opened:
            return "a page of another origin has sent this request"
        return None

    def _knows(self, host: str) -> bool:
        return host in self._hosts or (self._any_address and is_address(host))


def host_of(header: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def is_address(host: str) -> bool:
    """Return whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_open(path: str) -> bool:
    """Return whether a path needs no token."""
    return path in OPEN_PATHS or is_page(path)


def _understood(scope: Scope, body: bytes) -> Scope:
    """Return the request's scope as the router sees it.

    The body is known to be JSON, so its content type is set to JSON, whatever ``curl -d`` sent. ``HEAD`` is routed as
    ``GET``.
    """
    headers = scope["headers"]
    if body:
        headers = [pair for pair in headers if pair[0] != b"content-type"] + [(b"content-type", b"application/json")]
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "path": routed_path(scope), "method": method, "headers": headers}


async def _permit(headers: Pairs, send: Send) -> None:
    """Answer a browser's CORS preflight request."""
    await send({"type": "http.response.start", "status": 204, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _announces_body(headers: Headers) -> bool:
    """Return whether a request says that a body follows its headers."""
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


async def _take_body(headers: Headers, receive: Receive) -> tuple[bytes, problems.Problem | None]:
    """Read the whole body, so that no handler waits for it. Return the body, or the problem with it."""
    announced = headers.get("content-length", "0")
    too_large = problems.problem("too_large", f"a request may have {MAX_BODY_BYTES} bytes: {IN_A_FILE}")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        return b"", too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the caller has disconnected
            return b"", problems.problem("bad_request", "the body ended early")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return b"", too_large
        if not message.get("more_body", False):
            break
    return bytes(body), _unreadable(bytes(body))


def _unreadable(body: bytes) -> problems.Problem | None:
    """Return the problem with a body that the journal cannot hold: nested too deep, infinite, or a lone surrogate."""
    if not body:
        return None
    try:
        normal(body)
    except ValueError as error:
        fault = Fault(field="body", sentence=f"is not JSON: {error}")
        return problems.problem("invalid_request", f"the body is not JSON: {error}", errors=(fault,))
    return None


class HeadersSent(Exception):  # noqa: N818  it stops the handler of a HEAD request, and is not an error
    """Raised when the headers of the answer to a ``HEAD`` request have been sent."""


class Body:
    """ASGI ``receive``: gives the app the body that was read, and then further events of the connection."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        """Start with the body not yet given."""
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the next ASGI message."""
        message, self._message = self._message, None
        return message if message is not None else await self._receive()


class Answer:
    """ASGI ``send``: sends the app's answer, and adds headers that the app has not set.

    Args:
        send: The server's ``send``.
        headers: Headers to add, with names in lower case.
        head: Whether the request was a ``HEAD``.
    """

    def __init__(self, send: Send, headers: Iterable[tuple[bytes, bytes]], *, head: bool = False) -> None:
        """Start with nothing sent."""
        self._send = send
        self._headers = tuple(headers)
        self._head = head
        self.begun = False

    async def __call__(self, message: Message) -> None:
        """Send the next message.

        Raises:
            HeadersSent: The request was a ``HEAD`` and its headers have been sent.
        """
        if message["type"] == "http.response.start":
            self.begun = True
            given = {name.lower() for name, _ in message.get("headers", ())}
            more = [pair for pair in self._headers if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)
        if self._head and message["type"] == "http.response.start":
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            raise HeadersSent
