"""Percentiles of durations."""

import math
from collections.abc import Iterable, Sequence

from greenroom.messages.core.message import Message


class Spread(Message):
    """Distribution of durations, in seconds. Each percentile is an observed value; None if there is none."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile: the smallest value that at least ``percent`` % of the values do not exceed.

    Example: of 15, 20, 35, 40, 50 the 30th is 20 (rank 1.5, rounded up to 2) and the 50th is 35.

    Args:
        ordered: At least one value, ascending.
        percent: 1 to 100.
    """
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def spread(durations: Iterable[float]) -> Spread:
    """Return the count and the percentiles of durations in any order."""
    ordered = sorted(durations)
    if not ordered:
        return Spread()
    return Spread(
        count=len(ordered), p50=percentile(ordered, 50), p95=percentile(ordered, 95), p99=percentile(ordered, 99)
    )
