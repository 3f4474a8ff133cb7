"""Restart intensity: how many restarts a supervisor allows before it gives up. Pure."""

from dataclasses import replace

from greenroom.messages.core.frozen import frozen


@frozen
class RestartIntensity:
    """The deaths and failed starts so far, and two limits for them.

    It is exceeded by more than ``max_restarts`` deaths within ``within`` seconds, and by more than ``max_restarts``
    failed starts in a row. A window alone misses lives that fail slowly, and a streak alone misses bursts of workers
    that start well. With ``max_restarts=0`` the first death exceeds it.

    Values are immutable: each method returns the value after the event. ``now`` is monotonic, in seconds.
    """

    max_restarts: int
    within: float
    restarts: tuple[float, ...] = ()
    """Times of the deaths inside the window, oldest first."""
    streak: int = 0
    """Failed starts since a worker last became ready."""
    failed_at: float | None = None
    """When the newest failed start was counted."""

    def died(self, now: float) -> "RestartIntensity":
        """Count the death of a worker that had been ready."""
        return replace(self, restarts=self._window(now))

    def failed_start(self, now: float, begun: float) -> "RestartIntensity":
        """Count a life that ended before it was ready.

        Lives that were begun before the last known failure share its cause: if eight workers start together and all
        fail, they count once.

        Args:
            now: Time of the failure.
            begun: Time at which that life was begun.
        """
        if self.failed_at is not None and begun < self.failed_at:
            return self
        return replace(self, restarts=self._window(now), streak=self.streak + 1, failed_at=now)

    def ready(self) -> "RestartIntensity":
        """Reset the streak, because a worker became ready."""
        return replace(self, streak=0) if self.streak else self

    @property
    def exceeded(self) -> bool:
        """Whether one of the limits is exceeded, so that the supervisor gives up."""
        return len(self.restarts) > self.max_restarts or self.streak > self.max_restarts

    def _window(self, now: float) -> tuple[float, ...]:
        return (*(moment for moment in self.restarts if moment >= now - self.within), now)
