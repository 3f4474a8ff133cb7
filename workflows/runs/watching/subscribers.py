"""Subscribers of runs: called after commits of a run's events, or at its end."""

from collections.abc import Callable

from greenroom.workflows.state.run_state import RunState


class Subscribers:
    """Lists of functions to call. Reactor thread only, unless a method says otherwise."""

    def __init__(self) -> None:
        """Start with empty lists."""
        self._on_commit: dict[str, list[Callable[[], None]]] = {}
        """Called after every commit of a run's events."""
        self._on_end: dict[str, list[Callable[[], None]]] = {}
        """Called once a run has ended or is parked."""
        self._on_every_end: list[Callable[[RunState], None]] = []
        """Called for every run that has ended or is parked."""

    def __len__(self) -> int:
        """Return the number of runs with subscribers of their own."""
        return len(self._on_commit) + len(self._on_end)

    def published(self, run_id: str) -> None:
        """Call the subscribers of a run whose events were committed."""
        for subscriber in tuple(self._on_commit.get(run_id, ())):
            subscriber()

    def on_every_end(self, subscriber: Callable[[RunState], None]) -> None:
        """Call ``subscriber`` for every run that ends or is parked, after the commit. Called before the first run."""
        self._on_every_end.append(subscriber)

    def ended(self, state: RunState) -> None:
        """Call the subscribers of all runs for one that has ended or is parked."""
        for subscriber in self._on_every_end:
            subscriber(state)

    def finished(self, run_id: str) -> None:
        """Call the subscribers of one run that has ended or is parked, after its parent was told."""
        for subscriber in self._on_end.pop(run_id, ()):
            subscriber()

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool = False) -> None:
        """Call ``watcher`` now, and after every commit of a run's events or only at its end."""
        subscribers = self._on_end if end_only else self._on_commit
        subscribers.setdefault(run_id, []).append(watcher)
        watcher()  # it can see everything that was committed before

    def unwatch(self, run_id: str, watcher: Callable[[], None]) -> None:
        """Stop calling ``watcher``."""
        for subscribers in (self._on_commit, self._on_end):
            listed = subscribers.get(run_id, [])
            if watcher in listed:
                listed.remove(watcher)
            if not listed:
                subscribers.pop(run_id, None)

    def close(self) -> None:
        """Call all subscribers once more: nothing will change."""
        for subscribers in (*self._on_commit.values(), *self._on_end.values()):
            for subscriber in subscribers:
                subscriber()
