"""Lists that are read a page at a time, and the cursors that say where one goes on. Pure."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from pydantic_core import from_json, to_json

from greenroom.messages.core.errors import InvalidInput

T = TypeVar("T")
Place: TypeAlias = tuple[str | int, ...]
"""Where an item stands in its list: what the list is sorted by, and unique in it."""
LONGEST_CURSOR: Final = 4_000
"""Characters a cursor may have."""


class Page(list[T], Generic[T]):
    """Some items of a list, in its order.

    Attributes:
        next: The cursor with which the same question gives the items after these; None where there are none.
    """

    def __init__(self, items: Iterable[T] = (), next_cursor: str | None = None) -> None:
        """Hold the items."""
        super().__init__(items)
        self.next = next_cursor


def write_cursor(of: str, place: Place) -> str:
    """Give the cursor for what comes after a place, in letters, digits, ``-`` and ``_``.

    Args:
        of: Which list it is: a cursor of another one is refused.
        place: Of the last item that was given.
    """
    return urlsafe_b64encode(to_json([of, *place])).decode().rstrip("=")


def read_cursor(of: str, cursor: str, kinds: Sequence[type[Any]]) -> Place:
    """Give the place that a cursor stands for.

    Args:
        of: Which list is asked for.
        cursor: As ``write_cursor`` made it.
        kinds: The types of the parts of a place in this list.

    Raises:
        InvalidInput: It is none, or one of another list.
    """
    try:
        text = urlsafe_b64decode(cursor[:LONGEST_CURSOR].encode("ascii") + b"=" * (-len(cursor) % 4))
        found: Any = from_json(text)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise bad_cursor(of) from None
    parts: list[Any] = cast("Any", found) if isinstance(found, list) else []
    if [type(part) for part in parts] != [str, *kinds]:
        raise bad_cursor(of)
    name, *place = parts
    if name != of:
        raise bad_cursor(of)
    return tuple(place)


def bad_cursor(of: str) -> InvalidInput:
    """Give the error for what is no cursor of a list."""
    sentence = (
        f"is no place in the list of {of}: take the cursor from the page before, with the same filters, or leave it "
        "out to begin anew"
    )
    return InvalidInput(f"the cursor {sentence}", (("cursor", sentence),))


def check_limit(limit: int | None) -> None:
    """Refuse a size that no page has.

    Raises:
        ValueError: It is below 1.
    """
    if limit is not None and limit < 1:
        msg = f"limit is how many are given at most, from 1 on, not {limit!r}"
        raise ValueError(msg)
