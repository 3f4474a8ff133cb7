"""Durations in sorted parts, as they are saved, and the percentiles of all parts together.

The parts are never merged for a percentile. Its value is found by bisection in all of them, so a million durations cost
a few hundred comparisons.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from greenroom.metrics.percentiles import Spread


class Durations:
    """Durations in seconds. Some of them are taken back later."""

    __slots__ = ("_added", "_removed", "new", "taken_back")

    def __init__(self) -> None:
        """Begin without any."""
        self.new: list[float] = []
        """New ones, in any order. Others append to it."""
        self.taken_back: list[float] = []
        """Those that no longer count, in any order. Others append to it."""
        self._added: list[Sequence[float]] = []  # saved parts, each ascending
        self._removed: list[Sequence[float]] = []

    def add(self, added: Sequence[float], removed: Sequence[float]) -> None:
        """Add a saved part: durations, and durations that are taken back, both ascending. Neither is copied."""
        if len(added):
            self._added.append(added)
        if len(removed):
            self._removed.append(removed)

    def put(self, series: "array[float]") -> tuple[int, int]:
        """Append all to ``series``, as ``add`` takes them. Return the lengths of both parts."""
        lengths: list[int] = []
        for new, parts in ((self.new, self._added), (self.taken_back, self._removed)):
            values = array("d", new)
            for part in parts:
                values.extend(part)
            series.extend(sorted(values))
            lengths.append(len(values))
        return lengths[0], lengths[1]

    def spread(self) -> Spread:
        """Return the count and the nearest-rank percentiles; see ``percentiles.percentile``."""
        added = [*self._added, sorted(self.new)]
        removed = [*self._removed, sorted(self.taken_back)]
        count = sum(map(len, added)) - sum(map(len, removed))
        if not count:
            return Spread()
        p50, p95, p99 = (_ranked(added, removed, math.ceil(count * percent / 100)) for percent in (50, 95, 99))
        return Spread(count=count, p50=p50, p95=p95, p99=p99)


Parts: TypeAlias = Sequence[Sequence[float]]
Window: TypeAlias = tuple[Sequence[float], int, int]
"""A part, and the first and the last place in it, the last excluded."""


def _ranked(added: Parts, removed: Parts, rank: int) -> float:
    """Return the smallest duration that at least ``rank`` durations do not exceed.

    Each part has a window in which that duration may be. The middle of the longest window is compared with all parts,
    whose windows then lose what is above or below it.
    """
    windows: list[Window] = [(part, 0, len(part)) for part in added if len(part)]
    best = math.inf
    while windows:
        part, low, high = max(windows, key=_length)
        pivot = part[(low + high) // 2]
        if _count(added, pivot) - _count(removed, pivot) >= rank:
            best = pivot
            windows = [(each, start, bisect_left(each, pivot, start, end)) for each, start, end in windows]
        else:
            windows = [(each, bisect_right(each, pivot, start, end), end) for each, start, end in windows]
        windows = [window for window in windows if window[1] < window[2]]
    return best


def _length(window: Window) -> int:
    return window[2] - window[1]


def _count(parts: Parts, value: float) -> int:
    """Return how many durations do not exceed a value."""
    return sum(bisect_right(part, value) for part in parts)
