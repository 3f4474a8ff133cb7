"""Statistics of pass rates and of the agreement of judges. Pure.

Every formula names its source. ``tests/data/evaluation_statistics.json`` holds what other libraries computed for the
same cases.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from statistics import NormalDist
from typing import Final, TypeAlias

Interval: TypeAlias = tuple[float, float]
"""Lower and upper bound, both from 0 to 1, or from -1 to 1 for a difference."""

CONFIDENCE: Final = 0.95
"""The usual confidence level of an interval."""


def wilson_interval(passed: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of a pass rate, without continuity correction.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212. Example: 9 of 10 give 0.596 to 0.982.

    Args:
        passed: Number of passes, 0 to ``count``.
        count: Number of trials, at least 1.
        confidence: Share of such intervals that hold the true rate, above 0 and below 1.

    Raises:
        ValueError: The numbers are out of range.
    """
    if not 0 <= passed <= count or count < 1:
        msg = f"there cannot be {passed} passes in {count} trials"
        raise ValueError(msg)
    z = _quantile(confidence)
    rate, spread = passed / count, z * z / count
    center = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / count + spread / (4 * count))
    return (0.0 if passed == 0 else center - half, 1.0 if passed == count else center + half)


def newcombe_interval(
    passed: int, count: int, earlier_passed: int, earlier_count: int, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of the difference of two pass rates, the first minus the earlier one.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998), 873-890, method 10, which combines the Wilson intervals of both rates. It takes the rates as
    independent. If both versions ran on the same cases and mostly agree, the true interval is narrower.

    Raises:
        ValueError: The numbers are out of range.
    """
    rate, earlier = passed / max(count, 1), earlier_passed / max(earlier_count, 1)
    low, high = wilson_interval(passed, count, confidence)
    earlier_low, earlier_high = wilson_interval(earlier_passed, earlier_count, confidence)
    difference = rate - earlier
    return (
        difference - math.hypot(rate - low, earlier_high - earlier),
        difference + math.hypot(high - rate, earlier - earlier_low),
    )


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided p-value of the exact McNemar test for two versions on the same cases.

    It is the probability that a fair coin divides the cases that changed at least as unevenly. Source: Q. McNemar,
    "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12
    (1947), 153-157, with the binomial distribution. Example: 1 case gained and 9 lost give 0.0215.

    Args:
        gained: Cases that fail with the earlier version alone.
        lost: Cases that fail with the present version alone.

    Raises:
        ValueError: A number is negative.
    """
    if gained < 0 or lost < 0:
        msg = f"numbers of cases are at least 0, not {gained} and {lost}"
        raise ValueError(msg)
    changed = gained + lost
    tail = sum(math.comb(changed, each) for each in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail / 2**changed))  # integers, so that thousands of cases lose no digit


def nominal_alpha(units: Iterable[Sequence[Hashable | None]]) -> float | None:
    """Return Krippendorff's alpha of judgements that are categories: 1 is full agreement, 0 that of chance.

    Source: K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), with the metric for nominal data.

    Args:
        units: For each judged result the judgement of every judge; None where a judge gave none.

    Returns:
        Alpha, or None if it is undefined: no result has two judgements, or all judgements are the same.
    """
    paired = [given for unit in units if len(given := [each for each in unit if each is not None]) > 1]
    totals = Counter(each for given in paired for each in given)
    count = totals.total()
    observed = math.fsum(_unlike(Counter(given)) / (len(given) - 1) for given in paired)
    return _alpha(observed, _unlike(totals), count)


def interval_alpha(units: Iterable[Sequence[float | None]]) -> float | None:
    """Return Krippendorff's alpha of judgements that are numbers on a scale; see ``nominal_alpha``.

    The metric is the squared difference.
    """
    paired = [given for unit in units if len(given := [each for each in unit if each is not None]) > 1]
    every = [each for given in paired for each in given]
    observed = math.fsum(_square_differences(given) / (len(given) - 1) for given in paired)
    return _alpha(observed, _square_differences(every), len(every))


def _quantile(confidence: float) -> float:
    """Return the number of standard deviations that a two-sided interval reaches."""
    if not 0.0 < confidence < 1.0:
        msg = f"a confidence lies between 0 and 1, not at {confidence!r}"
        raise ValueError(msg)
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _alpha(observed: float, expected: float, count: int) -> float | None:
    """Return alpha from the sums of differences within units, and between all judgements."""
    return None if expected == 0 else 1 - (count - 1) * observed / expected


def _unlike(counts: "Counter[Hashable]") -> int:
    """Return the number of ordered pairs of unlike judgements."""
    return counts.total() ** 2 - sum(each * each for each in counts.values())


def _square_differences(values: Sequence[float]) -> float:
    """Return the sum of squared differences over all ordered pairs."""
    if len(set(values)) < 2:  # noqa: PLR2004  equal values, whose mean may be rounded
        return 0.0
    mean = math.fsum(values) / len(values)
    return 2 * len(values) * math.fsum((each - mean) ** 2 for each in values)
