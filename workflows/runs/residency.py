"""Runs that stay in memory although they wait for a far time, or have ended and wait for scores; how many may do so.

The next of many messages, or scores, then finds the run in memory. Reading it costs as much as its journal is long.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_RUNS: Final = 200
MOST_EVENTS: Final = 200_000
"""Most runs that may stay at once, and most events they may have in all, as a measure of their memory."""


class ResidentRuns:
    """Lists the runs that stay, the one with the newest event last. Reactor thread only."""

    def __init__(self) -> None:
        """Start without any run."""
        self._runs: OrderedDict[str, tuple[int, Callable[[], object]]] = OrderedDict()
        self._events = 0

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self._runs)

    def keep(self, run_id: str, events: int, leave: Callable[[], object]) -> None:
        """Keep a run. The runs without events for longest make room for it.

        Args:
            run_id: The run.
            events: Number of its events.
            leave: Makes it leave memory.
        """
        self.drop(run_id)
        self._runs[run_id] = events, leave
        self._events += events
        while len(self._runs) > 1 and (len(self._runs) > MOST_RUNS or self._events > MOST_EVENTS):
            _, (many, leave_now) = self._runs.popitem(last=False)
            self._events -= many
            leave_now()

    def dismiss(self, run_id: str) -> None:
        """Make a run leave memory now, if it is one of these."""
        if run_id in self._runs:
            leave = self._runs[run_id][1]
            self.drop(run_id)
            leave()

    def drop(self, run_id: str) -> None:
        """Remove a run that has left memory, or has something to do."""
        events, _ = self._runs.pop(run_id, (0, None))
        self._events -= events
