"""Which pages of other origins may call, and what a browser has to be told so that it lets them (CORS)."""

import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers

Pairs = tuple[tuple[bytes, bytes], ...]
"""Headers: names in small letters, with values."""
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
PREFLIGHT_SECONDS: Final = 600
"""How long a browser may remember what it was told before a request."""
ALLOWED: Final[Pairs] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID"),
    (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
)
EXPOSED: Final[Pairs] = ((b"access-control-expose-headers", b"Allow, Link, Location, WWW-Authenticate"),)
"""What of an answer a page may read besides its body."""


class Origins:
    """The origins whose pages may call, besides the server's own.

    Args:
        allowed: Each as a browser names it: scheme, host, and port where it is not the usual one.

    Raises:
        ValueError: One of them is none; the sentence says what to write.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """Keep what is compared."""
        self._allowed = frozenset(map(read_origin, allowed))

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._allowed)

    def __contains__(self, origin: object) -> bool:
        """Say whether pages of an origin may call."""
        return isinstance(origin, str) and origin.lower() in self._allowed

    def headers(self, request: Headers) -> Pairs:
        """Give what every answer to a request says to a browser; a cache must not give it to other origins."""
        if not self._allowed:
            return ()
        vary = ((b"vary", b"Origin"),)
        origin = request.get("origin")
        return vary if origin not in self else (*vary, *_permission(str(origin)), *EXPOSED)

    def preflight(self, method: str, request: Headers) -> Pairs | None:
        """Give the answer's headers where a browser asks whether a page may call; None where it does not ask."""
        origin = request.get("origin")
        if method != "OPTIONS" or "access-control-request-method" not in request or origin not in self:
            return None
        vary = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        local = "access-control-request-private-network" in request  # from the internet to this machine
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
    """Give an origin as browsers send it.

    Raises:
        ValueError: It is none.
    """
    if text.strip() == "*":
        msg = (
            "any origin would be any page that somebody with the token opens: name each one, such as "
            "https://app.example"
        )
        raise ValueError(msg)
    origin = text.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        msg = (
            f"{text!r} is no origin: write scheme, host and port, such as https://app.example or http://localhost:5173"
        )
        raise ValueError(msg)
    return origin.removesuffix(_DEFAULT_PORTS[origin.partition(":")[0]])
