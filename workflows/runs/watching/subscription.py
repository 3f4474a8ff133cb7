"""Somebody who watches a run, from any thread."""

from collections.abc import Callable
from typing import Protocol

from greenroom.supervision.loop.reactor import Reactor


class Watchable(Protocol):
    """What can be watched: the directory of runs. Its methods are called on the reactor's thread."""

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool = False) -> None:
        """Call ``watcher`` now and on every change, or at the end."""
        ...

    def unwatch(self, run_id: str, watcher: Callable[[], None]) -> None:
        """Stop calling it."""
        ...


class Resting:
    """Those who wait for a run and have seen all there is to see. Reactor's thread only.

    A virtual clock moves on while there is one. It must not before: who has been told something, and has not looked
    yet, would find the run somewhere else than where it was.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._watches: set[Subscription] = set()

    def __bool__(self) -> bool:
        """Say whether there is anybody."""
        return bool(self._watches)

    def add(self, watch: "Subscription") -> None:
        """Count somebody in."""
        self._watches.add(watch)

    def discard(self, watch: "Subscription") -> None:
        """Count somebody out, if he was in."""
        self._watches.discard(watch)


class Subscription:
    """A watch on one run; calling it ends it.

    Whoever waits reads ``told``, looks at the run, and where that is not enough calls ``rest`` with what he read
    before he waits for the next call of his watcher.

    Args:
        reactor: Where runs live.
        runs: The directory of runs.
        resting: Where those are counted who wait; None where nobody needs to know.
        run_id: Which run.
        watcher: Called on the reactor's thread at once, and then whenever there is something to see. Must not block.
        end_only: Call it at the run's end, or when it is parked, and not on every change.
    """

    def __init__(
        self,
        reactor: Reactor,
        runs: Watchable,
        resting: Resting | None,
        run_id: str,
        watcher: Callable[[], None],
        *,
        end_only: bool,
    ) -> None:
        """Begin to watch. Any thread."""
        self.told = 0
        """How often the watcher was called. Written by the reactor's thread, read by whoever waits."""
        self._reactor = reactor
        self._watched = runs
        self._resting = resting
        self._run_id = run_id
        self._watcher = watcher
        reactor.call(self._begin, end_only)

    def rest(self, seen: int) -> None:
        """Say that nothing is left to look at of what was told until ``told`` was ``seen``. Any thread."""
        if self._resting is not None:
            self._reactor.call(self._rest, self._resting, seen)

    def __call__(self) -> None:
        """End it. Any thread; may be repeated."""
        self._reactor.call(self._end)

    def _begin(self, end_only: bool) -> None:  # noqa: FBT001  the reactor calls without names
        self._watched.watch(self._run_id, self._tell, end_only=end_only)

    def _tell(self) -> None:
        self.told += 1
        if self._resting is not None:
            self._resting.discard(self)
        self._watcher()

    def _rest(self, resting: Resting, seen: int) -> None:
        if seen == self.told:
            resting.add(self)

    def _end(self) -> None:
        if self._resting is not None:
            self._resting.discard(self)
        self._watched.unwatch(self._run_id, self._tell)
