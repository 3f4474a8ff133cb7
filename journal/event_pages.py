"""A run's events a page at a time, however many they are."""

from collections.abc import Iterator
from typing import Final, Protocol

from greenroom.journal.interface import Stored

PAGE: Final = 1_000
"""Most events that are in memory at once."""
PAGE_BYTES: Final = 1024 * 1024
"""Most bytes of events that are in memory at once; a longer event is there alone."""


class Book(Protocol):
    """What events are read from: a journal, or whatever looks into one."""

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Give at most ``limit`` events of a run with sequence numbers above ``after``; see ``Journal.events``."""
        ...


def stored_events(book: Book, run_id: str, after: int = 0) -> Iterator[Stored]:
    """Give the committed events of a run with sequence numbers above ``after``, those added meanwhile included.

    Raises:
        JournalCorrupt: What is stored is not what was written. What came before it has been given by then.
    """
    while page := book.events(run_id, after=after, limit=PAGE, most_bytes=PAGE_BYTES):
        after = page[-1].seq
        page.reverse()
        while page:  # what was given is let go of
            yield page.pop()
