"""The page at /docs: the operations of /openapi.json, and a form to try each. It loads nothing from other servers."""

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Response

PLACE: Final = "/docs"
_FILES: Final = {
    PLACE: ("docs.html", "text/html; charset=utf-8"),
    f"{PLACE}/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    f"{PLACE}/docs.css": ("docs.css", "text/css; charset=utf-8"),
}
SECURITY: Final = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
            b"form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
"""Security headers of the page: scripts, styles and requests of this server only, and no frames."""

router = APIRouter(include_in_schema=False)


def is_page(path: str) -> bool:
    """Return whether a path is one of the page's files. They hold no data of runs, so they need no token."""
    return path in _FILES


@cache
def _read(name: str) -> bytes:
    return resources.files("greenroom.dashboard.docs_page").joinpath(name).read_bytes()


def _giver(name: str, kind: str) -> Callable[[], Response]:
    return lambda: Response(_read(name), media_type=kind)


for _path, (_name, _kind) in _FILES.items():
    router.add_api_route(_path, _giver(_name, _kind), methods=["GET"])
