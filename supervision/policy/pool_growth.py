"""When a pool tries again to start more workers after a start has failed."""

from greenroom.messages.core.frozen import frozen
from greenroom.supervision.policy.restart_backoff import LARGEST, restart_delay


@frozen
class Growth:
    """Record of failed starts of additional workers. Values are immutable; ``now`` is monotonic, in seconds.

    A pool that has workers keeps them if it fails to grow. It waits, longer after each failure in a row, and then
    starts a single worker before it starts more.
    """

    failures: int = 0
    """Starts in a row that failed."""
    until: float = 0.0
    """When to try again."""
    reason: str = ""
    """Why the newest one failed, in a sentence for users."""
    failed_at: float | None = None

    def failed(self, now: float, begun: float, unit: float, reason: str, longest: float = LARGEST) -> "Growth":
        """Count a failed start. Starts that were begun before the last known failure share its cause.

        Args:
            now: Time of the failure.
            begun: Time at which that start was begun.
            unit: A random number, at least 0 and below 1, for the pause.
            reason: Why it failed.
            longest: Longest pause, in seconds.
        """
        if self.failed_at is not None and begun < self.failed_at:
            return self
        failures = self.failures + 1
        return Growth(failures, now + min(longest, restart_delay(failures, unit)), reason, now)

    def room(self, now: float, starting: int) -> int | None:
        """Return how many workers may be started now; None for any number. After failures it is one, after a pause."""
        if not self.failures:
            return None
        return int(now >= self.until and not starting)
