"""Cross-origin requests (CORS): which origins may call, and the headers that tell browsers so."""

import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers

Pairs = tuple[tuple[bytes, bytes], ...]
"""Headers, with names in lower case."""
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
PREFLIGHT_SECONDS: Final = 600
"""Seconds for which a browser may cache the answer to a preflight request."""
ALLOWED: Final[Pairs] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID"),
    (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
)
EXPOSED: Final[Pairs] = ((b"access-control-expose-headers", b"Allow, Link, Location, WWW-Authenticate"),)
"""Headers of an answer that a page may read."""


class Origins:
    """The origins that may call, besides the server's own.

    Args:
        allowed: Origins as browsers write them: scheme, host, and port if it is not the default one.

    Raises:
        ValueError: One of them is not an origin; the message says what to write.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """Keep what is compared."""
        self._allowed = frozenset(map(read_origin, allowed))

    def __bool__(self) -> bool:
        """Return whether any origin is allowed."""
        return bool(self._allowed)

    def __contains__(self, origin: object) -> bool:
        """Return whether pages of an origin may call."""
        return isinstance(origin, str) and origin.lower() in self._allowed

    def headers(self, request: Headers) -> Pairs:
        """Return the CORS headers of an answer. ``Vary`` keeps caches from giving it to other origins."""
        if not self._allowed:
            return ()
        vary = ((b"vary", b"Origin"),)
        origin = request.get("origin")
        return vary if origin not in self else (*vary, *_permission(str(origin)), *EXPOSED)

    def preflight(self, method: str, request: Headers) -> Pairs | None:
        """Return the headers that answer a preflight request; None if the request is not one."""
        origin = request.get("origin")
        if method != "OPTIONS" or "access-control-request-method" not in request or origin not in self:
            return None
        vary = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        # Private network access: a page of a public site asks to call this machine.
        local = "access-control-request-private-network" in request
        return (
            (b"vary", vary),
            *_permission(str(origin)),
            *ALLOWED,
            *(((b"access-control-allow-private-network", b"true"),) if local else ()),
        )


def _permission(origin: str) -> Pairs:
    return (
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
    )


def read_origin(text: str) -> str:
    """Return an origin in the form in which browsers send it.

    Raises:
        ValueError: It is not an origin.
    """
    if text.strip() == "*":
        msg = (
            "any origin would be any page that somebody with the token opens: name each one, such as "
            "https://app.example"
        )
        raise ValueError(msg)
    origin = text.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        msg = f"{text!r} is not an origin: write scheme, host and port, such as https://app.example or http://localhost:5173"
        raise ValueError(msg)
    return origin.removesuffix(_DEFAULT_PORTS[origin.partition(":")[0]])
