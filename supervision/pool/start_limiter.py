"""The cap on how many workers begin at once, whatever pool they belong to."""

from collections import deque
from collections.abc import Callable


class StartLimiter:
    """Lets a bounded number of starts happen at the same time, so that a mass death is no storm of forks.

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
        """Begin now if there is room, else in turn."""
        if self._inside < self.limit:
            self._admit(permit)
        else:
            self._waiting.append(permit)

    def leave(self, permit: "Permit") -> None:
        """Make room: the start has succeeded, failed, or is no longer wanted."""
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
    """One start's place at the gate. Ask once with ``enter``; ``leave`` may be called at any time, also twice."""

    def __init__(self, gate: StartLimiter, begin: Callable[[], None]) -> None:
        """Say what begins once there is room."""
        self.begin = begin
        self.inside = False
        self._gate = gate

    def enter(self) -> None:
        """Wait in line."""
        self._gate.enter(self)

    def leave(self) -> None:
        """Give up the place."""
        self._gate.leave(self)
