"""The gate: who and what is let in. It looks at a request before anything else does, and takes in its body."""

import hmac
import ipaddress
from collections.abc import Collection, Iterable
from typing import Final

from loguru import logger
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.dashboard import problems
from understudy.dashboard.paths import routed_path
from understudy.messages.failures import Fault

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
OPEN_PATHS: Final = frozenset({"/healthz"})
"""What is answered without a token."""
SAFE_HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Gate:
    """Stands in front of an app.

    Args:
        app: What is behind it.
        token: What everybody has to show.
        hosts: Names by which requests may call this server, besides those of the loopback; ports do not matter. Where
            it is empty, the server is bound to all addresses, and any address will do as a name, because an attacker's
            page can only lead to us by a name of its own.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        """Keep what is compared."""
        self._app = app
        self._token = token.encode()
        self._hosts = LOCAL_NAMES | {host.lower() for host in hosts}
        self._any_address = not hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        found = self._check(scope["path"], headers)
        body = b""
        read = not _announces_body(headers)
        if found is None and scope["path"] not in OPEN_PATHS:
            body, found = await _take_body(headers, receive)
            read = read or found is None
        # A body that was not read would be taken for the next request, or take any time to arrive: the connection ends.
        answer = Answer(send, SAFE_HEADERS if read else (*SAFE_HEADERS, (b"connection", b"close")))
        if found is not None:
            more = {"WWW-Authenticate": "Bearer"} if found.status == 401 else {}  # noqa: PLR2004  which the standard asks for
            await problems.response(found, more)(scope, receive, answer)
            return
        try:
            await self._app({**scope, "path": routed_path(scope)}, Body(body, receive), answer)
        except Exception as error:  # noqa: BLE001  nothing is above us but the server, which would print it
            logger.opt(exception=error).error("{} {} could not be answered", scope["method"], scope["path"])
            if not answer.begun:
                await problems.response(problems.problem("internal", "the request could not be carried out"))(
                    scope, receive, answer
                )

    def _check(self, path: str, headers: Headers) -> problems.Problem | None:
        if "transfer-encoding" in headers and "content-length" in headers:
            return problems.problem("bad_request", "the request gives two lengths: Content-Length and chunks")
        named = headers.getlist("host")
        if len(named) != 1 or not self._knows(host_of(named[0])):
            return problems.problem("forbidden_host", f"this server is not called {', '.join(named) or 'nothing'!r}")
        origin = headers.get("origin")
        if (
            origin is not None and origin.lower() not in {f"http://{named[0].lower()}", f"https://{named[0].lower()}"}
        ) or (headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}):
            return problems.problem("forbidden_origin", "a page of another origin has sent this request")
        if path in OPEN_PATHS:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            return problems.problem("unauthorized", "the request has no token, or not this server's")
        return None

    def _knows(self, host: str) -> bool:
        return host in self._hosts or (self._any_address and is_address(host))


def host_of(header: str) -> str:
    """Give the name in a Host header, without its port and brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def is_address(host: str) -> bool:
    """Say whether a host is given by its address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _announces_body(headers: Headers) -> bool:
    """Return whether a request says that a body follows its headers."""
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


async def _take_body(headers: Headers, receive: Receive) -> tuple[bytes, problems.Problem | None]:
    """Take in the whole body, so that no handler ever waits for it; say what stands against it."""
    announced = headers.get("content-length", "0")
    too_large = problems.problem("too_large", f"a body may have {MAX_BODY_BYTES} bytes")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        return b"", too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # whoever sent it has left
            return b"", problems.problem("bad_request", "the body ended early")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return b"", too_large
        if not message.get("more_body", False):
            break
    return bytes(body), _unreadable(bytes(body))


def _unreadable(body: bytes) -> problems.Problem | None:
    """Say why a body is no JSON that the journal could keep: what is nested too deep, infinite, or half a character."""
    if not body:
        return None
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        fault = Fault(field="body", sentence=f"is no JSON: {error}")
        return problems.problem("invalid_request", f"the body is no JSON: {error}", errors=(fault,))
    return None


class Body:
    """Gives an app the body that was taken in, and then whatever else happens to the connection."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        """Nothing was given yet."""
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive

    async def __call__(self) -> Message:
        """Give the next message."""
        message, self._message = self._message, None
        return message if message is not None else await self._receive()


class Answer:
    """Sends what an app answers, with more headers where the app has not set them.

    Args:
        send: Sends a message of the answer.
        headers: Names in small letters, with values.
    """

    def __init__(self, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Nothing was sent yet."""
        self._send = send
        self._headers = tuple(headers)
        self.begun = False

    async def __call__(self, message: Message) -> None:
        """Send the next message."""
        if message["type"] == "http.response.start":
            self.begun = True
            given = {name.lower() for name, _ in message.get("headers", ())}
            more = [pair for pair in self._headers if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)
