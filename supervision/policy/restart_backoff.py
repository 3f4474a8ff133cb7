"""The delay before a dead worker is restarted. Pure."""

from typing import Final

SMALLEST: Final = 0.1
"""Shortest delay of a restart that is not immediate, in seconds."""
LARGEST: Final = 30.0
"""Longest delay of a restart, in seconds."""
HEALTHY_AFTER: Final = 60.0
"""Seconds of readiness after which a life counts as healthy even without a finished job."""

_DOUBLINGS: Final = 10
"""Largest exponent: the bound is ``LARGEST`` from there on, and the power stays small."""


def restart_delay(streak: int, unit: float) -> float:
    """Return the seconds to wait before a restart: full jitter under a bound that doubles.

    The first restart after a healthy life is immediate. Later delays are drawn uniformly between 0 and
    ``0.1 * 2 ** streak`` seconds. The drawn delay, not the bound, is clamped to 0.1 to 30 seconds, so jitter never
    exceeds the cap. Workers that died together restart at different times.

    Args:
        streak: Lives in a row that ended before they were healthy; 0 after a healthy one.
        unit: A random number, at least 0 and below 1.

    Example: ``restart_delay(0, 0.9)`` is 0.0; ``restart_delay(3, 0.5)`` is ``0.5 * 0.8 = 0.4``.
    """
    if streak <= 0:
        return 0.0
    bound = SMALLEST * 2.0 ** min(streak, _DOUBLINGS)
    return min(LARGEST, max(SMALLEST, unit * bound))


def next_streak(streak: int, *, ready_for: float | None, served: bool) -> int:
    """Return the streak after a life has ended.

    A life was healthy if it finished a job or was ready for a minute. A healthy life resets the streak; any other life
    adds one.

    Args:
        streak: The streak before.
        ready_for: Seconds for which the worker was ready; None if it never was.
        served: Whether it finished at least one job.
    """
    healthy = ready_for is not None and (served or ready_for >= HEALTHY_AFTER)
    return 0 if healthy else streak + 1
