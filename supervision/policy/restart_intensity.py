"""How many restarts a supervisor allows before it gives up: restart intensity."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Budget:
    """The restarts spent so far, held against two limits at once.

    A window alone never fills where each life fails slowly; a streak alone forgives a burst of workers that each start
    well. So both are kept: more than ``max_restarts`` within ``within`` seconds, or more than ``max_restarts`` lives in
    a row that never became ready, and the budget is exceeded. With ``max_restarts=0`` the first death exceeds it.

    Values are immutable: each method gives the budget after the event. ``now`` is monotonic, in seconds.
    """

    max_restarts: int
    within: float
    restarts: tuple[float, ...] = ()
    """Moments of the deaths inside the window, oldest first."""
    streak: int = 0
    """Failed starts since a worker last became ready."""
    failed_at: float | None = None
    """When the newest failed start was counted."""

    def died(self, now: float) -> "Budget":
        """Count the death of a worker that had been ready."""
        return replace(self, restarts=self._window(now))

    def failed_start(self, now: float, begun: float) -> "Budget":
        """Count a life that ended before it was ready.

        Lives begun before the last failure was known share its cause: eight workers started together that all fail are
        one incident, not eight.

        Args:
            now: The moment of the failure.
            begun: The moment at which that life was begun.
        """
        if self.failed_at is not None and begun < self.failed_at:
            return self
        return replace(self, restarts=self._window(now), streak=self.streak + 1, failed_at=now)

    def ready(self) -> "Budget":
        """End the streak: a worker became ready."""
        return replace(self, streak=0) if self.streak else self

    @property
    def exceeded(self) -> bool:
        """Whether to give up."""
        return len(self.restarts) > self.max_restarts or self.streak > self.max_restarts

    def _window(self, now: float) -> tuple[float, ...]:
        return (*(moment for moment in self.restarts if moment >= now - self.within), now)
