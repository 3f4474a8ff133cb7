"""Who watches which run: called after its commits, or at its end."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from greenroom.messages.records import ENDED
from greenroom.workflows.state.run_state import RunState

if TYPE_CHECKING:
    from greenroom.journal.interface import RunRow
    from greenroom.workflows.runs.registry import RunRegistry


class Subscribers:
    """Reactor's thread only, unless a method says otherwise."""

    def __init__(self, runs: "RunRegistry") -> None:
        """Know where runs are looked up."""
        self._runs = runs
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        """Called after every commit of a run's events."""
        self._finishers: dict[str, list[Callable[[], None]]] = {}
        """Called once a run has ended or is parked."""
        self._hearers: list[Callable[[RunState], None]] = []
        """Called for every run that has ended or is parked."""

    def published(self, run_id: str) -> None:
        """Events of a run have reached the disk."""
        for watcher in tuple(self._watchers.get(run_id, ())):
            watcher()

    def hear_of_ends(self, hearer: Callable[[RunState], None]) -> None:
        """Call ``hearer`` for every run that ends or is parked, once that is on the disk. Any thread, before all."""
        self._hearers.append(hearer)

    def ended(self, state: RunState) -> None:
        """A run has ended or is parked: tell those who follow all runs."""
        for hearer in self._hearers:
            hearer(state)

    def finished(self, run_id: str) -> None:
        """The same, once its parent knows: tell those who wait for this one."""
        for finisher in self._finishers.pop(run_id, ()):
            finisher()

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool = False) -> None:
        """Call ``watcher`` now, and after every commit of a run's events or only at its end. It must be thread-safe."""
        watchers = self._finishers if end_only else self._watchers
        watchers.setdefault(run_id, []).append(watcher)
        watcher()  # whatever happened before this moment is on the disk for the watcher to see

    def watch_end(self, run_id: str, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` once the run has ended or is parked, maybe more than once. Reactor's thread alone."""
        self._finishers.setdefault(run_id, []).append(watcher)

        def look(row: "RunRow | None") -> None:
            if row is not None and row.status in ENDED:  # it had ended before anybody was told of this watcher
                watcher()

        if self._runs.state(run_id) is None:
            self._runs.read(lambda: self._runs.row(run_id), look)

    def unwatch(self, run_id: str, watcher: Callable[[], None]) -> None:
        """Stop calling it."""
        for watchers in (self._watchers, self._finishers):
            listed = watchers.get(run_id, [])
            if watcher in listed:
                listed.remove(watcher)
            if not listed:
                watchers.pop(run_id, None)

    def close(self) -> None:
        """Have everybody look once more: nothing will change."""
        for watchers in (*self._watchers.values(), *self._finishers.values()):
            for watcher in watchers:
                watcher()
