"""Seconds as people give them: what is no number is refused, and what nobody lives to see is as good as never."""

import math
from datetime import timedelta
from typing import Final

LONGEST: Final = 1e10
"""Seconds of the longest wait, some 300 years. A longer one, ``math.inf`` among them, is taken for this."""


def seconds(given: object, what: str) -> float:
    """Give a wait as a number of seconds from 0 to ``LONGEST``; what is below 0 is over already.

    Args:
        given: A number, or a ``timedelta``.
        what: Which wait it is, for the error.

    Raises:
        TypeError: It is neither.
        ValueError: It is NaN, which is not a number.
    """
    value = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{what} is a number of seconds, not {given!r:.100}"
        raise TypeError(msg)
    if math.isnan(value):
        msg = f"{what} is a number of seconds, and NaN is none"
        raise ValueError(msg)
    return float(min(max(value, 0.0), LONGEST))


def limit(given: object, what: str) -> float | None:
    """Give a limit in seconds, None where there is none: for None, and for what is longer than ``LONGEST``.

    Raises:
        TypeError: It is no number.
        ValueError: It is NaN.
    """
    if given is None:
        return None
    value = seconds(given, what)
    return None if value >= LONGEST else value
