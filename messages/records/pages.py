"""Pages of long lists, and the cursors that mark where the next page begins. Pure."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from pydantic_core import from_json, to_json

from greenroom.messages.core.errors import InvalidInput

T = TypeVar("T")
Place: TypeAlias = tuple[str | int, ...]
"""Position of an item in its list: the values that the list is sorted by, unique in the list."""
LONGEST_CURSOR: Final = 4_000
"""Longest cursor, in characters."""


class Page(list[T], Generic[T]):
    """Some items of a list, in its order.

    Attributes:
        next: Cursor of the next page; None if there is none.
    """

    def __init__(self, items: Iterable[T] = (), next_cursor: str | None = None) -> None:
        """Store the items."""
        super().__init__(items)
        self.next = next_cursor


def write_cursor(of: str, place: Place) -> str:
    """Return the cursor for the items after a place, in letters, digits, ``-`` and ``_``.

    Args:
        of: Name of the list. The cursor of another list is refused.
        place: Place of the last returned item.
    """
    return urlsafe_b64encode(to_json([of, *place])).decode().rstrip("=")


def read_cursor(of: str, cursor: str, kinds: Sequence[type[Any]]) -> Place:
    """Return the place for a cursor.

    Args:
        of: Name of the list.
        cursor: Result of ``write_cursor``.
        kinds: Types of the parts of a place in this list.

    Raises:
        InvalidInput: It is not a cursor, or belongs to another list.
    """
    if not isinstance(cursor, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers may not check their types
        raise bad_cursor(of)
    try:
        text = urlsafe_b64decode(cursor[:LONGEST_CURSOR].encode("ascii") + b"=" * (-len(cursor) % 4))
        found: Any = from_json(text)
    except (binascii.Error, ValueError):
        raise bad_cursor(of) from None
    parts: list[Any] = cast("Any", found) if isinstance(found, list) else []
    if [type(part) for part in parts] != [str, *kinds]:
        raise bad_cursor(of)
    name, *place = parts
    if name != of:
        raise bad_cursor(of)
    return tuple(place)


def bad_cursor(of: str) -> InvalidInput:
    """Return the error for a text that is not a cursor of a list."""
    sentence = (
        f"is not a place in the list of {of}: take the cursor from the page before, with the same filters, or leave it "
        "out to begin anew"
    )
    return InvalidInput(f"the cursor {sentence}", (("cursor", sentence),))


def check_limit(limit: int | None) -> None:
    """Raise if a number is not a size of a page.

    Raises:
        ValueError: It is below 1.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 1):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"limit is how many are given at most, from 1 on, not {limit!r:.100}"
        raise ValueError(msg)
