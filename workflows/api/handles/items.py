"""Iterators for plain and for asynchronous code."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import TypeVar

from greenroom.workflows.api.threads import warn_on_loop

T = TypeVar("T")


class Items(Iterator[T], AsyncIterable[T]):
    """Result of ``Run.events``, ``Run.stream`` and ``Session.stream``: for a ``for``, or for an ``async for``.

    The latter does not block the event loop.

    Args:
        items: The items for a ``for``.
        asynchronous: Returns an iterator over the same items for an ``async for``.
        waits: The call that returned this, if the next item may take long; it is named in the warning of a ``for`` on
            an event loop.
    """

    def __init__(
        self, items: Iterator[T], asynchronous: Callable[[], AsyncIterator[T]], waits: str | None = None
    ) -> None:
        """Begin with the first item."""
        self._items = items
        self._asynchronous = asynchronous
        self._waits = waits

    def __next__(self) -> T:
        """Return the next item, as soon as there is one."""
        if self._waits is not None:
            warn_on_loop(f"iterating over {self._waits}", f"async for item in {self._waits}")
            self._waits = None
        return next(self._items)

    def __aiter__(self) -> AsyncIterator[T]:
        """Return an asynchronous iterator over the same items."""
        return self._asynchronous()
