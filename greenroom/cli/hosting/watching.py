"""Following a run or session of another process, with notes about what its follower cannot see in the journal."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from greenroom.messages.core.errors import GreenroomError
from greenroom.workflows.home.home import Home

if TYPE_CHECKING:
    from greenroom.journal.interface import Stored
    from greenroom.workflows.queries.reader import JournalQueries

LOOK_EVERY = 10
"""Polls between two looks for an orchestrator, a tenth of a second each."""


class Watch:
    """Says when what is followed is over, and tells the follower that nothing happens without an orchestrator.

    Args:
        home: The home of the run.
        reads: Its journal.
        run_id: The run, or a session as ``NAME/KEY``.
        note: Prints a note.
        caught_up: Called once all that was recorded before has been read.
    """

    def __init__(
        self,
        home: Home,
        reads: "JournalQueries",
        run_id: str,
        note: Callable[[str], None],
        caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with an orchestrator, so that only its absence is told."""
        self._home, self._reads, self._run_id = home, reads, run_id
        self._note, self._caught_up = note, caught_up
        self._polls = 0
        self._hosted = True

    def is_over(self) -> bool:
        """Return whether nothing more happens by itself. Called before each read."""
        self._polls += 1
        if self._polls == 2:  # noqa: PLR2004  after the first read
            self._caught_up()
        over = self._reads.is_over(self._run_id)
        if not over and self._polls % LOOK_EVERY == 2:  # noqa: PLR2004  the same
            self._look()
        return over

    def end(self) -> None:
        """Say why there is nothing more, if that is not plain. Called after the last read."""
        if self._polls == 1:
            self._caught_up()
        run = self._reads.run(self._run_id)
        if run.status == "parked":
            self._note(f"{self._run_id} is parked: {run.reason}")

    def _look(self) -> None:
        from greenroom.workflows.control.access import contact

        hosted = True
        with suppress(GreenroomError):
            hosted = contact.is_open(self._home)
        if hosted != self._hosted:
            self._hosted = hosted
            self._note(
                f"an orchestrator is running again, and goes on with {self._run_id}"
                if hosted
                else f"no orchestrator is running: {self._run_id} goes on once there is one"
            )


def followed(reads: "JournalQueries", run_id: str, after: int, watch: Watch) -> "Iterator[Stored]":
    """Yield the events of a run after a number until it is over, by polling the journal of another process."""
    from greenroom.workflows.api.waiting import poll_events

    yield from poll_events(reads, run_id, after, watch.is_over)
    watch.end()
