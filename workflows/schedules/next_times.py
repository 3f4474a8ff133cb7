"""Due times of schedules: cron expressions in a time zone, and intervals from an anchor.

Pure but for the time zone database, which ``zoneinfo`` reads from the machine. Due times are recorded, so a change of
that database does not change the past.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from greenroom.messages.events.schedules import Plan

LEAST_EVERY: Final = 1.0
"""Minimum interval in seconds: ids of runs distinguish moments by the second."""
MOST_EVERY: Final = 100 * 366 * 86_400.0
"""Maximum interval in seconds."""

_DAY: Final = 86_400.0

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Names that cron knows for some expressions. Its ``@reboot`` is not a time."""


def faults(plan: Plan) -> list[str]:
    """Return what is wrong with the times of a plan, one sentence per field."""
    found: list[str] = []
    if (plan.cron is None) == (plan.every is None):
        found.append("give either cron, such as '0 3 * * *', or every, a number of seconds")
    if plan.every is not None and not LEAST_EVERY <= plan.every <= MOST_EVERY:
        found.append(f"every: {plan.every:g} is not between 1 second and 100 years")
    if not 0 <= plan.catch_up < math.inf:
        found.append(f"catch_up: {plan.catch_up:g} is not a number of seconds from 0")
    zone = zone_of(plan.timezone)
    if isinstance(zone, str):
        found.append(f"timezone: {zone}")
    if plan.cron is not None:
        try:
            moments = CronSim(_fields(plan.cron), datetime(2000, 1, 1))  # noqa: DTZ001  any moment of any zone will do
            if next(moments, None) is None:
                found.append(f"cron: no moment fits {plan.cron!r}")
        except CronSimError as error:
            wrong = f"has a {str(error).lower()}; there are minute, hour, day, month and weekday"
            if plan.cron.startswith("@"):
                wrong = f"is not one of {', '.join(NICKNAMES)}"
            found.append(f"cron: {plan.cron!r} {wrong}")
    return found


def _fields(cron: str) -> str:
    """Return an expression as fields, which a nickname stands for."""
    return NICKNAMES.get(cron.strip().lower(), cron)


def zone_of(name: str) -> tzinfo | str:
    """Return a time zone by its name, or the reason why it is not available."""
    if name == "UTC":
        return UTC  # needs no database
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # an unknown name, an invalid name, a folder of zones
        return f"{name!r} is unknown here: use a name such as 'Europe/Berlin', and install tzdata if there are none"


def next_after(plan: Plan, anchor: float, after: float) -> float:
    """Return the first moment of a plan later than ``after``.

    A cron expression with fixed times of day is due as often as on other days when the clocks change: a moment in the
    skipped hour is due right after it, and one in the repeated hour is due the first time. Others, whose seconds,
    minutes or hours begin with ``*`` as in ``*/30 * * * *``, are due whenever the clock matches.

    Raises:
        ValueError: There is none within 50 years, or the time zone is unknown.
    """
    if plan.every is not None:
        return _interval(anchor, plan.every, after)
    return _cron(plan, after)


def moments(plan: Plan, anchor: float, first: float) -> Iterator[float]:
    """Yield the moments of a plan, beginning with ``first``, which is one."""
    moment = first
    while True:
        yield moment
        moment = next_after(plan, anchor, moment)


def _interval(anchor: float, every: float, after: float) -> float:
    number = max(1, math.floor((after - anchor) / every))
    while (due := round(anchor + number * every, 3)) <= after:
        number += 1
    return due


def _cron(plan: Plan, after: float) -> float:
    """Return the first moment after ``after`` that the clock on the wall shows, as the library finds it.

    The library counts on a clock that never changes. It would step over times where clocks change by half an hour.
    """
    zone = zone_of(plan.timezone)
    if isinstance(zone, str):
        raise ValueError(zone)  # noqa: TRY004  what is wrong is the name of the zone
    assert plan.cron is not None
    fields = _fields(plan.cron)
    often = any(field.startswith("*") for field in fields.split()[-6:-3])
    second_pass = _in_second_pass(fields, zone, after) if often else math.inf
    for shown in CronSim(fields, _shown(zone, after)):
        first, last = (shown.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
        if first > last:  # the clocks leave it out
            if often:
                continue
            first = _change(zone, last, first)
        if first > after:
            return min(first, second_pass)
        if often and last > after:
            return last
    msg = f"no moment fits {plan.cron!r} in the next 50 years"
    raise ValueError(msg)


def _in_second_pass(fields: str, zone: tzinfo, after: float) -> float:
    """Return the first moment in an hour that is repeated within a day, or infinity."""
    repeated = _offset(zone, after) - _offset(zone, after + _DAY)
    if repeated <= timedelta():
        return math.inf
    change = _change(zone, after, after + _DAY)
    begin = _shown(zone, change)
    shown = next(CronSim(fields, begin - timedelta(seconds=1)), None)
    if shown is None or shown >= begin + repeated:
        return math.inf
    return shown.replace(tzinfo=zone, fold=1).timestamp()


def _change(zone: tzinfo, before: float, later: float) -> int:
    """Return the second at which the clocks change between two moments of different offsets."""
    low, high = math.floor(before), math.floor(later)
    offset = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: tzinfo, at: float) -> timedelta:
    offset = datetime.fromtimestamp(math.floor(at), zone).utcoffset()
    assert offset is not None
    return offset


def _shown(zone: tzinfo, at: float) -> datetime:
    """Return what a clock in the zone shows."""
    return datetime.fromtimestamp(math.floor(at), zone).replace(tzinfo=None, fold=0)


def stamp(moment: float) -> str:
    """Return a moment as in ids of runs: ``20261122T030000Z``, with milliseconds if there are any."""
    milliseconds = round(moment * 1000)
    shown = datetime.fromtimestamp(milliseconds // 1000, UTC)
    rest = f".{milliseconds % 1000:03d}" if milliseconds % 1000 else ""
    return f"{shown:%Y%m%dT%H%M%S}{rest}Z"
