"""When a pool that cannot begin more workers tries again, while those that it has go on."""

from dataclasses import dataclass

from greenroom.supervision.policy.restart_backoff import restart_delay


@dataclass(frozen=True, slots=True)
class Growth:
    """How a pool's attempts to begin one more worker went. Values are immutable; ``now`` is monotonic, in seconds.

    A failure to grow takes nothing away from a pool that has workers: it only waits, longer after each failure in a
    row, and then tries one worker before it begins more.
    """

    failures: int = 0
    """Starts in a row that failed."""
    until: float = 0.0
    """When to try again."""
    reason: str = ""
    """Why the newest one failed, in a sentence for a person."""
    failed_at: float | None = None

    def failed(self, now: float, begun: float, unit: float, reason: str) -> "Growth":
        """Count a start that failed. Those begun before the last failure was known share its cause.

        Args:
            now: The moment of the failure.
            begun: The moment at which that life was begun.
            unit: A random number, at least 0 and below 1, for the pause.
            reason: Why it failed.
        """
        if self.failed_at is not None and begun < self.failed_at:
            return self
        failures = self.failures + 1
        return Growth(failures, now + restart_delay(failures, unit), reason, now)

    def room(self, now: float, starting: int) -> int | None:
        """Return how many workers may be begun now, None for any number: after failures one, once the pause is over."""
        if not self.failures:
            return None
        return int(now >= self.until and not starting)
