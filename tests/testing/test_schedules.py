"""Schedules on the virtual clock: weeks of them in moments."""

from datetime import UTC, datetime

import pytest

from greenroom import Orchestrator
from greenroom.testing import VirtualClock
from tests.testing.apps.idle import DAY, sleeps

pytestmark = pytest.mark.slow

HOUR = 3600.0


@pytest.fixture
def virtual_clock():
    return VirtualClock(datetime(2026, 3, 27, 12, tzinfo=UTC))  # two days before Berlin's clocks go forward


def due(schedule) -> list[str]:
    return [f"{firing.due:%m-%dT%H:%M}" for firing in reversed(schedule.last_runs())]


def statuses(schedule) -> list[str]:
    return [firing.status for firing in reversed(schedule.last_runs())]


def test_a_nightly_schedule_fires_once_a_night_also_when_the_clocks_change(orchestrator, virtual_clock):
    schedule = orchestrator.schedule("nightly", sleeps, 60.0, cron="30 2 * * *", timezone="Europe/Berlin")
    virtual_clock.advance(4 * DAY)
    assert due(schedule) == ["03-28T01:30", "03-29T01:00", "03-30T00:30", "03-31T00:30"]
    assert statuses(schedule) == ["completed"] * 4
    for firing in schedule.last_runs():
        assert orchestrator.get(firing.run_id).record.started_at == firing.due


def test_two_hundred_days_of_a_schedule_are_all_there_and_read_in_a_moment(orchestrator, virtual_clock):
    schedule = orchestrator.schedule("daily", sleeps, 1.0, cron="0 3 * * *")
    virtual_clock.advance(200 * DAY)
    assert schedule.record.fired == 200
    assert len(orchestrator.runs(limit=1000)) == 200
    row = orchestrator.reads.journal.run("@daily")
    assert row is not None
    assert row.last_seq - row.wake_seq < 210
    assert row.last_seq > 600


def test_a_run_that_takes_longer_than_the_interval_overlaps_as_the_schedule_says(orchestrator, virtual_clock):
    kinds = {kind: orchestrator.schedule(kind, sleeps, 2.5 * HOUR, every=HOUR, overlap=kind) for kind in OVERLAPS}
    virtual_clock.advance(5.2 * HOUR)
    assert {kind: statuses(schedule) for kind, schedule in kinds.items()} == OVERLAPS


OVERLAPS = {
    "skip": ["completed", "skipped", "skipped", "running", "skipped"],
    "queue": ["completed", "running", "queued", "queued", "queued"],
    "allow": ["completed", "completed", "running", "running", "running"],
    "cancel": ["cancelled", "cancelled", "cancelled", "cancelled", "running"],
}


def test_what_is_missed_while_everything_is_down_is_made_up_for_within_catch_up(tmp_path, virtual_clock):
    def opened() -> Orchestrator:
        return Orchestrator(tmp_path / "runs.db", home=tmp_path, clock=virtual_clock)

    with opened() as first:
        first.schedule("hourly", sleeps, 1.0, every=HOUR, overlap="allow", catch_up=2.5 * HOUR)
        virtual_clock.advance(HOUR)
    virtual_clock.advance(6 * HOUR)
    with opened() as second:
        virtual_clock.advance(30)
        schedule = second.get_schedule("hourly")
        assert statuses(schedule) == ["completed", "skipped", "completed", "completed", "completed"]
        assert [firing.count for firing in schedule.last_runs() if firing.status == "skipped"] == [3]


def test_a_pause_holds_back_and_resuming_makes_up_for_what_is_recent(orchestrator, virtual_clock):
    schedule = orchestrator.schedule("hourly", sleeps, 1.0, every=HOUR, catch_up=30 * 60)
    schedule.pause()
    virtual_clock.advance(5.25 * HOUR)
    assert due(schedule) == []
    schedule.resume()
    virtual_clock.advance(30)
    assert statuses(schedule) == ["skipped", "completed"]
    assert due(schedule) == ["03-27T13:00", "03-27T17:00"]


def test_a_clock_that_jumps_fires_once_per_moment(orchestrator, virtual_clock):
    schedule = orchestrator.schedule("hourly", sleeps, 1.0, every=HOUR, overlap="queue", catch_up=DAY)
    virtual_clock.jump(3.5 * HOUR)
    virtual_clock.advance(60)
    assert due(schedule) == ["03-27T13:00", "03-27T14:00", "03-27T15:00"]
    assert statuses(schedule) == ["completed"] * 3
