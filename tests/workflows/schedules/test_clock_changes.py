"""Cron expressions where the clocks change: once a day is once on each day, and often is whenever the clock fits."""

from datetime import datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from greenroom.workflows.schedules.next_times import moments, next_after
from tests.workflows.schedules.plans import at, local, plan


def test_a_time_that_the_clocks_leave_out_is_due_right_after_the_gap():
    zone = "Europe/Berlin"  # on 29 March 2026 the clocks go from 02:00 to 03:00
    nightly = plan(cron="30 2 * * *", timezone=zone)
    first = next_after(nightly, 0, at(zone, 2026, 3, 28, 12))
    assert [local(zone, m) for m in islice(moments(nightly, 0, first), 2)] == ["29 03:00 +0200", "30 02:30 +0200"]


def test_a_time_that_comes_twice_is_due_in_the_first_pass_only():
    zone = "Europe/Berlin"  # on 25 October 2026 the clocks go from 03:00 back to 02:00
    nightly = plan(cron="30 2 * * *", timezone=zone)
    first = next_after(nightly, 0, at(zone, 2026, 10, 24, 12))
    assert [local(zone, m) for m in islice(moments(nightly, 0, first), 2)] == ["25 02:30 +0200", "26 02:30 +0100"]
    between = at(zone, 2026, 10, 25, 2, 15, fold=1)  # an orchestrator that starts in the second pass
    assert local(zone, next_after(nightly, 0, between)) == "26 02:30 +0100"


def test_what_is_due_every_so_many_minutes_is_due_in_both_passes():
    zone = "America/New_York"  # on 1 November 2026 the clocks go from 02:00 back to 01:00
    often = plan(cron="*/30 * * * *", timezone=zone)
    first = next_after(often, 0, at(zone, 2026, 11, 1, 0, 59))
    shown = [local(zone, m) for m in islice(moments(often, 0, first), 5)]
    assert shown == ["01 01:00 -0400", "01 01:30 -0400", "01 01:00 -0500", "01 01:30 -0500", "01 02:00 -0500"]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_seconds_in_front_change_nothing_about_times_that_are_left_out_or_come_twice(cron):
    zone = "Europe/Berlin"
    nightly = plan(cron=cron, timezone=zone)
    for before, days in (
        (at(zone, 2026, 3, 28, 12), ["29 03:00 +0200", "30 02:30 +0200"]),
        (at(zone, 2026, 10, 24, 12), ["25 02:30 +0200", "26 02:30 +0100"]),
    ):
        first = next_after(nightly, 0, before)
        assert [local(zone, m) for m in islice(moments(nightly, 0, first), 2)] == days


OFTEN = {
    "*/30 * * * *": lambda shown: shown.minute % 30 == 0,
    "20 * * * *": lambda shown: shown.minute == 20,
    "0 */3 * * *": lambda shown: shown.minute == 0 and shown.hour % 3 == 0,
    "* 2 * * *": lambda shown: shown.hour == 2,
    "*/20 1-3 * * *": lambda shown: shown.minute % 20 == 0 and 1 <= shown.hour <= 3,
}
CHANGES = {
    "Europe/Berlin": [(2026, 3, 28), (2026, 10, 24)],
    "America/Havana": [(2026, 3, 7), (2026, 10, 31)],  # at midnight
    "Australia/Lord_Howe": [(2026, 4, 4), (2026, 10, 3)],  # by half an hour
    "Pacific/Apia": [(2011, 12, 29)],  # by a day, which is left out
}


@pytest.mark.parametrize("cron", OFTEN)
@pytest.mark.parametrize(("zone", "day"), [(zone, day) for zone, days in CHANGES.items() for day in days])
def test_what_is_due_often_is_due_at_each_minute_at_which_the_clock_fits(cron, zone, day):
    begin = at(zone, *day, 12)
    minutes = [begin + 60 * number for number in range(1, 36 * 60)]
    fitting = [minute for minute in minutes if OFTEN[cron](datetime.fromtimestamp(minute, ZoneInfo(zone)))]
    often = plan(cron=cron, timezone=zone)
    assert list(islice(moments(often, 0, next_after(often, 0, begin)), len(fitting))) == fitting
    for before, due in pairwise(fitting):  # an orchestrator that starts in between
        assert next_after(often, 0, (before + due) / 2) == due
