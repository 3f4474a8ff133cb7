"""Times as people give and read them.

Of seconds, what is no number is refused, and what nobody lives to see is as good as never. Moments are shown in UTC.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

Seconds: TypeAlias = float | timedelta
"""How long something may take or is to last, as people give it: a number of seconds, or a ``timedelta``."""

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


def moment(seconds: float) -> datetime:
    """Give the datetime in UTC, to the millisecond, for seconds since the Unix epoch."""
    return milliseconds(datetime.fromtimestamp(seconds, UTC))


def milliseconds(moment: datetime) -> datetime:
    """Give a moment as records hold it: in UTC, and no finer than their JSON says it."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC, to the millisecond: ``2026-11-22T03:00:00.000+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
