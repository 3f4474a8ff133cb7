"""Runs that are kept in memory for a moment though they wait for something far off, and how many of them there may be.

The next of many messages then finds the run there. To read a run anew costs as much as its journal is long.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_RUNS: Final = 200
MOST_EVENTS: Final = 200_000
"""How many runs may doze at once, and how many events they may have in all, for which the memory they take stands."""


class ResidentRuns:
    """Knows who dozes, the run that something happened to last at the end. Reactor's thread only."""

    def __init__(self) -> None:
        """Nobody dozes."""
        self._runs: OrderedDict[str, tuple[int, Callable[[], object]]] = OrderedDict()
        self._events = 0

    def __len__(self) -> int:
        """Count those who doze."""
        return len(self._runs)

    def keep(self, run_id: str, events: int, leave: Callable[[], object]) -> None:
        """Keep a run; those that nothing has happened to for longest make room.

        Args:
            run_id: The run.
            events: How many it has.
            leave: Has it leave memory.
        """
        self.drop(run_id)
        self._runs[run_id] = events, leave
        self._events += events
        while len(self._runs) > 1 and (len(self._runs) > MOST_RUNS or self._events > MOST_EVENTS):
            _, (many, leave_now) = self._runs.popitem(last=False)
            self._events -= many
            leave_now()

    def drop(self, run_id: str) -> None:
        """A run dozes no more: it has left, or has something to do."""
        events, _ = self._runs.pop(run_id, (0, None))
        self._events -= events
