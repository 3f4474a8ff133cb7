"""The files of the pages at ``/`` and ``/docs``. They hold no data of runs, and load nothing from other servers."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Response

_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
"""Media types by the ends of the files' names."""
_PAGES: Final = {"/": "index.html", "/docs": "docs.html"}
"""What a person types, and the file that is shown. Other files are at ``/pages/`` and their name in this folder."""
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
"""Security headers of the pages: scripts, styles and requests of this server only, and no frames."""

router = APIRouter(include_in_schema=False)


def is_page(path: str) -> bool:
    """Return whether a path is one of the pages' files, which need no token."""
    return path in _found()


@cache
def _found() -> dict[str, str]:
    """Return the names of the files by the paths at which they are served."""
    return _PAGES | {f"/pages/{name}": name for name in _names(_folder(), "") if not name.endswith(".html")}


def _folder() -> Traversable:
    return resources.files("greenroom.dashboard.pages")


def _names(folder: Traversable, place: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _names(entry, f"{place}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _KINDS:
            yield f"{place}{entry.name}"


@cache
def _read(name: str) -> bytes:
    return _folder().joinpath(*name.split("/")).read_bytes()


def _giver(name: str) -> Callable[[], Response]:
    return lambda: Response(_read(name), media_type=_KINDS[name.rpartition(".")[2]])


for _path, _name in _found().items():
    router.add_api_route(_path, _giver(_name), methods=["GET"])
