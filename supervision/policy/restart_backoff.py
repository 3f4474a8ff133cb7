"""How long a dead worker waits before its next life."""

from typing import Final

SMALLEST: Final = 0.1
"""Seconds: no delayed restart comes sooner."""
LARGEST: Final = 30.0
"""Seconds: no restart waits longer."""
HEALTHY_AFTER: Final = 60.0
"""Seconds of being ready after which a life counts as healthy, whatever it did."""

_DOUBLINGS: Final = 10
"""Past these the bound is ``LARGEST`` anyway, and the power stays a small number."""


def restart_delay(streak: int, unit: float) -> float:
    """Return the seconds to wait before the next life: full jitter under a bound that doubles.

    The first restart after a healthy life is immediate. After that the delay is drawn evenly between nothing and
    ``0.1 * 2 ** streak`` seconds, and the result, not the bound, is held between 0.1 and 30 seconds: so the jitter can
    never lead past the cap. Workers that died together come back spread out.

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

    A life was healthy if it finished a job or was ready for a minute: the count begins again. One that did neither adds
    to it.

    Args:
        streak: The count before.
        ready_for: Seconds for which the worker was ready; None where it never was.
        served: Whether it finished at least one job.
    """
    healthy = ready_for is not None and (served or ready_for >= HEALTHY_AFTER)
    return 0 if healthy else streak + 1
