"""Reading of a run's events page by page, for any number of events."""

from collections.abc import Iterator
from typing import Final, Protocol

from greenroom.journal.interface import Stored

PAGE: Final = 1_000
"""Most events in memory at once."""
PAGE_BYTES: Final = 1024 * 1024
"""Most bytes of events in memory at once. A longer event is read alone."""


class EventSource(Protocol):
    """Something to read events from, such as a journal."""

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Return at most ``limit`` events of a run with sequence numbers above ``after``; see ``Journal.events``."""
        ...


def stored_events(source: EventSource, run_id: str, after: int = 0) -> Iterator[Stored]:
    """Yield the committed events of a run with sequence numbers above ``after``, including those added meanwhile.

    Raises:
        JournalCorrupt: The stored data is not what was written. Earlier events have been yielded by then.
    """
    while page := source.events(run_id, after=after, limit=PAGE, most_bytes=PAGE_BYTES):
        after = page[-1].seq
        page.reverse()
        while page:  # yielded events are released
            yield page.pop()
