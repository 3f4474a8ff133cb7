"""A subscription to one run, for any thread."""

from collections.abc import Callable
from typing import Protocol

from greenroom.supervision.loop.reactor import Reactor


class Watchable(Protocol):
    """The lists of subscribers. Reactor thread only."""

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool = False) -> None:
        """Call ``watcher`` now, and on every change or at the end."""
        ...

    def unwatch(self, run_id: str, watcher: Callable[[], None]) -> None:
        """Stop calling ``watcher``."""
        ...


class Waiters:
    """The subscriptions whose owners wait and have seen every change. Reactor thread only.

    A virtual clock advances only while there is one. If it advanced while an owner had yet to look at a change, the
    owner would find the run in a later state.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._subscriptions: set[Subscription] = set()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._subscriptions)

    def add(self, watch: "Subscription") -> None:
        """Add a subscription."""
        self._subscriptions.add(watch)

    def discard(self, watch: "Subscription") -> None:
        """Remove a subscription, if it is there."""
        self._subscriptions.discard(watch)


class Subscription:
    """A subscription to one run; calling it ends it.

    Its owner reads ``told`` and then looks at the run. If the run has not got far enough, the owner calls ``rest`` with
    the number it read, and waits for the next call of its watcher.

    Args:
        reactor: The reactor that runs live on.
        runs: The lists of subscribers.
        waiters: Where owners that wait are counted; None if no clock needs to know.
        run_id: The run.
        watcher: Called on the reactor's thread at once, and then on changes. It must not block.
        end_only: Call it only when the run ends or is parked, and not on every change.
    """

    def __init__(
        self,
        reactor: Reactor,
        runs: Watchable,
        waiters: Waiters | None,
        run_id: str,
        watcher: Callable[[], None],
        *,
        end_only: bool,
    ) -> None:
        """Begin to watch. Thread-safe."""
        self.told = 0
        """Number of calls of the watcher. Written by the reactor's thread, read by the owner."""
        self._reactor = reactor
        self._watched = runs
        self._waiters = waiters
        self._run_id = run_id
        self._watcher = watcher
        reactor.call(self._begin, end_only)

    def rest(self, seen: int) -> None:
        """Note that the owner has looked at every change up to the time when ``told`` was ``seen``. Thread-safe."""
        if self._waiters is not None:
            self._reactor.call(self._rest, self._waiters, seen)

    def __call__(self) -> None:
        """End the subscription. Thread-safe; may be repeated."""
        self._reactor.call(self._end)

    def _begin(self, end_only: bool) -> None:  # noqa: FBT001  the reactor calls without names
        self._watched.watch(self._run_id, self._tell, end_only=end_only)

    def _tell(self) -> None:
        self.told += 1
        if self._waiters is not None:
            self._waiters.discard(self)
        self._watcher()

    def _rest(self, waiters: Waiters, seen: int) -> None:
        if seen == self.told:
            waiters.add(self)

    def _end(self) -> None:
        if self._waiters is not None:
            self._waiters.discard(self)
        self._watched.unwatch(self._run_id, self._tell)
