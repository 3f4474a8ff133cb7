"""Lists over HTTP: one page at a time, with a link to the next page."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Query, Request
from pydantic import BaseModel

from greenroom.dashboard.dependencies import Dependencies
from greenroom.dashboard.responses.large_responses import Outgoing
from greenroom.messages.codecs.event_codec import spliced
from greenroom.messages.records.pages import LONGEST_CURSOR, Page, Place, read_cursor, write_cursor

T = TypeVar("T")

MOST: Final = 10_000
"""Largest number of items on one page."""
MANY: Final = 1_000
"""Default number of items on one page."""
Limit: TypeAlias = Annotated[int, Query(ge=1, le=MOST, description="How many items to give at most.")]
Cursor: TypeAlias = Annotated[
    str | None,
    Query(
        max_length=LONGEST_CURSOR,
        description="Where to go on: the one in the link to the next page. The list's other parameters stay the same.",
    ),
]
PAGED: Final[dict[str, Any]] = {
    "headers": {
        "Link": {
            "description": (
                'The next page, as `</api/v1/...?cursor=...>; rel="next"`; no such header where this is the last one. '
                "Items that are added meanwhile move none of those that come later."
            ),
            "schema": {"type": "string"},
        }
    }
}
"""What OpenAPI adds to the description of an answer that is a page."""


def next_link(request: Request, cursor: str | None) -> dict[str, str]:
    """Return the ``Link`` header to the next page; empty if this is the last one."""
    if cursor is None:
        return {}
    path = quote(request.scope.get("raw_path", b"").decode("latin-1"), safe="/%~-._!$&'()*+,;=:@", encoding="latin-1")
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<{path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'}


def behind(of: str, cursor: str | None, after: int) -> int:
    """Return the number after which a list continues, for lists that also take a number.

    A link repeats the query, ``after`` included, and continues where its page ended.

    Raises:
        InvalidInput: The cursor does not belong to this list.
    """
    return after if cursor is None else max(after, int(read_cursor(of, cursor, (int,))[0]))


def cut(
    items: Iterable[T],
    of: str,
    limit: int,
    cursor: str | None,
    place: Callable[[T], Place],
    kinds: tuple[type[Any], ...],
) -> Page[T]:
    """Return a page of a list that is in memory.

    Args:
        items: The list, sorted by ``place``.
        of: Name of the list.
        limit: Largest number of items on the page.
        cursor: Where to continue; None for the beginning.
        place: Returns the sort key of an item.
        kinds: Types of the parts of a sort key.

    Raises:
        InvalidInput: The cursor does not belong to this list.
    """
    after = None if cursor is None else read_cursor(of, cursor, kinds)
    found: list[T] = []
    for item in items:
        if after is not None and place(item) <= after:
            continue
        if len(found) == limit:
            return Page(found, write_cursor(of, place(found[-1])))
        found.append(item)
    return Page(found)


def numbered(items: Iterable[T], of: str, limit: int, cursor: str | None) -> Page[T]:
    """Return a page of a list that only grows at its end; see ``cut``."""
    page = cut(enumerate(items), of, limit, cursor, lambda pair: (pair[0],), (int,))
    return Page((item for _, item in page), page.next)


async def answer_page(desk: Dependencies, request: Request, make: Callable[[], Page[Any]]) -> Outgoing:
    """Answer with a page of records. ``make`` returns it, in a thread, once the budget has room."""
    headers: dict[str, str] = {}

    def write() -> list[bytes]:
        page: Page[BaseModel] = make()
        headers.update(next_link(request, page.next))
        pieces = [piece for record in page for piece in (b",", spliced(record))]
        return [b"[", *pieces[1:], b"]"]

    return await desk.answer(write, headers)


def paged(model: Any, description: str) -> Mapping[int | str, dict[str, Any]]:
    """Describe an answer that is a page of records."""
    return {200: {"model": list[model], "description": description, **PAGED}}
