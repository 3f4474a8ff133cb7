"""Durations and moments as people give and read them.

A duration that is not a number is refused; one longer than a lifetime counts as no limit. Moments are shown in UTC.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

Seconds: TypeAlias = float | timedelta
"""A duration as people give it: a number of seconds, or a ``timedelta``."""

LONGEST: Final = 1e10
"""The longest duration in seconds, some 300 years. Longer ones, including ``math.inf``, are reduced to it."""


def seconds(given: object, what: str) -> float:
    """Return a duration as seconds from 0 to ``LONGEST``. A negative one becomes 0.

    Args:
        given: A number, or a ``timedelta``.
        what: Name of the duration, for the error.

    Raises:
        TypeError: The value is neither.
        ValueError: The value is NaN.
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
    """Return a limit in seconds; None if there is none, for None and for values longer than ``LONGEST``.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is NaN.
    """
    if given is None:
        return None
    value = seconds(given, what)
    return None if value >= LONGEST else value


def moment(seconds: float) -> datetime:
    """Return the datetime in UTC, to the millisecond, for seconds since the Unix epoch."""
    return milliseconds(datetime.fromtimestamp(seconds, UTC))


def milliseconds(moment: datetime) -> datetime:
    """Return a moment as records hold it: in UTC, with the precision of its JSON."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond: ``2026-11-22T03:00:00.000+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
