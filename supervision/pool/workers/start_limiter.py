"""Limit of simultaneous starts of workers, across all pools."""

from collections import deque
from collections.abc import Callable


class StartLimiter:
    """Limits the number of simultaneous starts, so that many deaths at once do not cause many forks at once.

    Reactor thread only.
    """

    def __init__(self, limit: int) -> None:
        """Allow ``limit`` starts at once."""
        self.limit = limit
        self._inside = 0
        self._waiting: deque[Permit] = deque()

    def __repr__(self) -> str:
        return f"<StartGate {self._inside} of {self.limit} starting, {len(self._waiting)} waiting>"

    def enter(self, permit: "Permit") -> None:
        """Start now if there is room, else when it is this permit's turn."""
        if self._inside < self.limit:
            self._admit(permit)
        else:
            self._waiting.append(permit)

    def leave(self, permit: "Permit") -> None:
        """Make room, because the start has succeeded, failed, or is no longer needed."""
        if not permit.inside:
            if permit in self._waiting:
                self._waiting.remove(permit)
            return
        permit.inside = False
        self._inside -= 1
        if self._waiting and self._inside < self.limit:
            self._admit(self._waiting.popleft())

    def _admit(self, permit: "Permit") -> None:
        permit.inside = True
        self._inside += 1
        permit.begin()


class Permit:
    """Permit for one start. Call ``enter`` once; ``leave`` may be called at any time and repeatedly."""

    def __init__(self, gate: StartLimiter, begin: Callable[[], None]) -> None:
        """Keep the arguments; ``begin`` is called when there is room."""
        self.begin = begin
        self.inside = False
        self._gate = gate

    def enter(self) -> None:
        """Request the start; see ``StartLimiter.enter``."""
        self._gate.enter(self)

    def leave(self) -> None:
        """Release the permit; see ``StartLimiter.leave``."""
        self._gate.leave(self)
