"""When schedules are due, and what they do about it: nothing twice, nothing early, nothing lost that can be made up."""

import math
from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from greenroom.messages.core.errors import ScheduleBusy, ScheduleNotFound
from greenroom.messages.events import schedules as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.events.schedules import Plan, ScheduleState
from greenroom.workflows.schedules import decide as do
from greenroom.workflows.schedules.decide import AT_ONCE, ON_TIME, QUEUED, decide_schedule
from greenroom.workflows.schedules.fold import RECENT, fold_events, fold_schedule
from greenroom.workflows.schedules.next_times import faults, moments, next_after, stamp
from tests.workflows.schedules.plans import at, local, plan

YEAR = 366 * 86_400.0
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
)
CRONS = (
    "* * * * *",
    "*/15 * * * *",
    "30 * * * *",
    "30 2 * * *",
    "0 0 * * *",
    "15,45 1-3 * * *",
    "0 */6 * * *",
    "0 3 * * MON",
    "0 9 1 * *",
    "10 30 2 * * *",
    "*/20 59 1 * * *",
)


# ---------------------------------------------------------------- moments


times = st.floats(START, START + 2 * YEAR)
intervals = st.floats(1.0, 30 * 86_400.0)
plans = st.one_of(
    st.builds(lambda cron, zone: plan(cron=cron, timezone=zone), st.sampled_from(CRONS), st.sampled_from(ZONES)),
    st.builds(lambda every: plan(every=every), intervals),
)


@given(plans, times)
def test_the_next_moment_is_always_later_and_moments_only_rise(given_plan, after):
    found = [after, *islice(moments(given_plan, START, next_after(given_plan, START, after)), 20)]
    assert found == sorted(set(found))


@given(plans, times, st.floats(0, 1))
def test_no_moment_lies_between_a_time_and_the_next_moment_after_it(given_plan, after, part):
    due = next_after(given_plan, START, after)
    between = min(after + part * (due - after), math.nextafter(due, 0))
    assert next_after(given_plan, START, between) == due


@given(plans, times)
def test_moments_of_one_schedule_have_ids_of_their_own(given_plan, after):
    found = [stamp(moment) for moment in islice(moments(given_plan, START, next_after(given_plan, START, after)), 50)]
    assert len(set(found)) == len(found)


@given(intervals, st.integers(0, 10_000))
def test_an_interval_never_drifts(every, number):
    anchor = START + 0.0
    before = anchor + number * every
    assert next_after(plan(every=every), anchor, before - every / 2) == pytest.approx(
        max(before, anchor + every), abs=1e-3
    )


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("@hourly", "15 13:00"),
        ("@daily", "16 00:00"),
        ("@midnight", "16 00:00"),
        ("@weekly", "19 00:00"),
        ("@Monthly ", "01 00:00"),
        ("@yearly", "01 00:00"),
        ("@annually", "01 00:00"),
    ],
)
def test_a_name_of_cron_stands_for_its_fields(name, first):
    named = plan(cron=name, timezone="Europe/Berlin")
    assert faults(named) == []
    assert local("Europe/Berlin", next_after(named, 0, at("Europe/Berlin", 2026, 7, 15, 12, 30))).startswith(first)


def test_ids_tell_moments_to_the_millisecond_where_there_are_any():
    assert stamp(at("UTC", 2026, 11, 22, 3)) == "20261122T030000Z"
    assert stamp(START + 1.5) == "20260101T000001.500Z"


def test_everything_that_is_wrong_with_the_times_is_said_at_once():
    wrong = faults(plan(cron="61 * * * *", every=0.5, timezone="Mars/Olympus", catch_up=-1.0))
    assert [sentence.split(":")[0].split(",")[0] for sentence in wrong] == [
        "give either cron",
        "every",
        "catch_up",
        "timezone",
        "cron",
    ]
    assert "bad minute" in wrong[-1]
    assert "no moment fits" in faults(plan(cron="* * */20 * 1L"))[0]
    assert "'@reboot' is not one of @yearly, @annually, @monthly" in faults(plan(cron="@reboot"))[0]
    assert faults(plan(cron="0 3 * * *", timezone="America")) != []
    assert faults(plan(every=math.inf)) != []
    assert faults(plan(cron="0 3 * * *")) == []


# ---------------------------------------------------------------- deciding


class Sim:
    """One schedule under a clock that goes where it is told; runs end when they are told to."""

    def __init__(self, given_plan: Plan, now: float = START) -> None:
        self.now = now
        self.state: ScheduleState | None = None
        self.journal: list[AnyEvent] = []
        self.orders: list[do.ScheduleEffect] = []
        self.put(given_plan)

    def happen(self, happened: do.ScheduleInput) -> do.ScheduleDecision:
        before = self.state
        verdict = decide_schedule("s", before, happened, self.now)
        self.journal += verdict.events
        if verdict.events:
            self.state = verdict.state
        self.orders += verdict.orders
        read = [EVENTS.validate_json(EVENTS.dump_json(event)) for event in self.journal]
        assert fold_events(read) == self.state
        return verdict

    def put(self, given_plan: Plan) -> do.ScheduleDecision:
        return self.happen(do.Put(given_plan))

    def tick(self, now: float) -> None:
        """Look at the clock, again as long as a moment is overdue."""
        self.now = now
        self.happen(do.Tick())
        while not self.known.paused and self.known.due <= now:
            self.happen(do.Tick())

    @property
    def known(self) -> ScheduleState:
        assert self.state is not None
        return self.state

    def of(self, kind):
        return [event for event in self.journal if isinstance(event, kind)]

    @property
    def fired(self) -> list[float]:
        return [event.due for event in self.of(ev.ScheduleFired)]

    @property
    def started(self) -> list[str]:
        return [order.run_id for order in self.orders if isinstance(order, do.Start)]

    def end(self, run_id: str, status: ev.EndStatus = "completed") -> None:
        self.happen(do.Started(run_id))
        self.happen(do.Ended(run_id, status))


EVENTS: TypeAdapter = TypeAdapter(AnyEvent)
jumps = st.lists(st.one_of(st.floats(-7200, 7200), st.floats(0, 400), st.floats(0, 3 * 86_400)), max_size=12)
due_plans = st.one_of(
    st.builds(
        lambda cron, zone, late: plan(cron=cron, timezone=zone, overlap="allow", catch_up=late),
        st.sampled_from(CRONS[1:]),
        st.sampled_from(ZONES),
        st.floats(0, 7200),
    ),
    st.builds(
        lambda every, late: plan(every=every, overlap="allow", catch_up=late), st.floats(60, 9000), st.floats(0, 7200)
    ),
)


@given(due_plans, times, jumps)
@example(
    plan(cron="30 2 * * *", timezone="Europe/Berlin", overlap="allow"),
    at("Europe/Berlin", 2026, 10, 25, 1),
    [7200, -3600, 7200, 7200],
)
@example(
    plan(cron="30 2 * * *", timezone="Europe/Berlin", overlap="allow"),
    at("Europe/Berlin", 2026, 3, 29, 1),
    [7200, -3600, 7200],
)
def test_however_the_clock_moves_a_moment_is_due_once_and_never_early_and_none_is_lost_within_catch_up(
    given_plan, start, clock
):
    sim = Sim(given_plan, start)
    anchor, first = sim.known.anchor, sim.known.due
    looked: list[float] = []
    for jump in clock:
        sim.tick(sim.now + jump)
        looked.append(sim.now)
    assert len(set(sim.fired)) == len(sim.fired)
    assert all(event.due <= event.at for event in sim.of(ev.ScheduleFired))
    furthest = max(looked, default=start)
    expected: list[float] = []
    unseen = first
    for seen in looked:  # what a plain reading of the rule gives
        for moment in moments(given_plan, anchor, unseen):
            unseen = moment
            if moment > seen:
                break
            if seen - moment <= max(given_plan.catch_up, ON_TIME):
                expected.append(moment)
    assert sim.fired == expected
    assert sim.known.due > furthest or not looked
    assert sim.started == [f"s~{stamp(moment)}" for moment in expected]


@given(
    st.lists(st.sampled_from(["tick", "long", "end", "trigger", "pause", "resume", "refuse"]), max_size=40),
    st.sampled_from(["skip", "queue", "cancel"]),
)
def test_runs_of_a_schedule_never_overlap_unless_it_allows_it_and_each_moment_is_accounted_for(happenings, overlap):
    sim = Sim(plan(every=60.0, overlap=overlap, catch_up=300.0))
    for happening in happenings:
        if happening == "tick":
            sim.tick(sim.now + 60)
        elif happening == "long":
            sim.tick(sim.now + 200)
        elif happening == "trigger":
            sim.happen(do.Trigger())
        elif happening == "pause":
            sim.happen(do.Pause())
        elif happening == "resume":
            sim.happen(do.Resume())
        elif sim.known.open:
            run_id = sim.known.open[0].run_id
            assert run_id is not None
            if happening == "end":
                sim.end(run_id)
            else:
                sim.happen(do.NotStarted(run_id, "gone"))
        assert len(sim.known.open) <= 1
        assert len(sim.known.queued) <= (1 if overlap == "cancel" else QUEUED)
    assert len(set(sim.started)) == len(sim.started)
    passed = round((sim.known.due - START) / 60) - 1
    dealt_with = {e.due for kind in (ev.ScheduleFired, ev.ScheduleQueued) for e in sim.of(kind) if not e.manual}
    replaced = {e.run_id for e in sim.of(ev.ScheduleQueued)}
    skipped = sum(e.count for e in sim.of(ev.ScheduleSkipped) if e.run_id not in replaced)
    assert len(dealt_with) + skipped == passed


def test_a_run_that_is_due_while_another_goes_on_is_skipped_and_that_is_recorded():
    sim = Sim(plan(every=60.0))
    sim.tick(START + 60)
    sim.happen(do.Started(sim.started[0]))
    sim.tick(START + 120)
    (skipped,) = sim.of(ev.ScheduleSkipped)
    assert (skipped.why, skipped.due, skipped.run_id) == ("overlap", START + 120, sim.started[0])
    sim.end(sim.started[0])
    sim.tick(START + 180)
    assert sim.fired == [START + 60, START + 180]


def test_queued_runs_start_in_order_and_no_more_than_so_many_wait():
    sim = Sim(plan(every=60.0, overlap="queue"))
    for number in range(1, QUEUED + 4):
        sim.tick(START + 60 * number)
    assert len(sim.known.queued) == QUEUED
    assert [event.why for event in sim.of(ev.ScheduleSkipped)] == ["full"] * 2
    with pytest.raises(ScheduleBusy, match="wait already"):
        raise sim.happen(do.Trigger()).refused or AssertionError
    for _ in range(3):
        sim.end(sim.started[-1])
    assert sim.fired == [START + 60 * number for number in range(1, 5)]


def test_the_earlier_run_is_cancelled_and_the_later_one_starts_at_its_end():
    sim = Sim(plan(every=60.0, overlap="cancel"))
    sim.tick(START + 60)
    sim.tick(START + 120)  # the first is not there yet: it is cancelled as soon as it is
    assert not any(isinstance(order, do.Cancel) for order in sim.orders)
    sim.happen(do.Started(sim.started[0]))
    assert [order.run_id for order in sim.orders if isinstance(order, do.Cancel)] == sim.started[:1]
    sim.tick(START + 180)  # what waited gives way to what is due now
    sim.happen(do.Ended(sim.started[0], "cancelled"))
    assert sim.fired == [START + 60, START + 180]


def test_the_same_schedule_again_changes_nothing_and_another_plan_changes_it():
    sim = Sim(plan(every=60.0))
    due = sim.known.due
    assert sim.put(plan(every=60.0)).events == []
    sim.now += 30
    sim.put(plan(every=60.0, overlap="queue"))
    assert sim.known.due == due
    sim.put(plan(every=7.0))
    assert sim.known.due == sim.now + 7


def test_moments_missed_in_a_pause_are_made_up_for_within_catch_up_only():
    sim = Sim(plan(every=60.0, overlap="allow", catch_up=150.0))
    sim.happen(do.Pause("holidays"))
    assert sim.known.reason == "holidays"
    sim.tick(START + 600)
    assert sim.fired == []
    sim.happen(do.Resume())
    assert sim.fired == [START + 480, START + 540, START + 600]
    (late,) = sim.of(ev.ScheduleSkipped)
    assert (late.due, late.count, late.why) == (START + 60, 7, "late")


def test_resuming_counts_anew_after_a_clock_was_set_back():
    sim = Sim(plan(every=60.0), START + YEAR)
    sim.now = START
    sim.tick(START + 600)
    assert sim.fired == []
    sim.happen(do.Pause())
    sim.put(plan(cron="0 3 * * *"))
    sim.happen(do.Resume())
    assert sim.known.due == START + 3 * 3600


def test_long_absences_are_dealt_with_in_parts_and_nothing_is_lost():
    sim = Sim(plan(every=1.0, overlap="allow", catch_up=500.0))
    sim.now = START + 1000
    sim.happen(do.Tick())
    assert len(sim.fired) == AT_ONCE
    sim.tick(START + 1000)
    assert sim.fired == [START + number for number in range(500, 1001)]


def test_a_person_who_asks_for_a_run_learns_why_there_is_none():
    sim = Sim(plan(every=60.0))
    first = sim.happen(do.Trigger())
    assert first.refused is None
    assert first.run_id == f"s~{stamp(START)}-1"
    refused = sim.happen(do.Trigger()).refused
    assert isinstance(refused, ScheduleBusy)
    assert first.run_id in str(refused)
    sim.happen(do.NotStarted(first.run_id, "no such file"))
    assert sim.known.firings[-1].reason == "no such file"
    sim.happen(do.Pause())
    assert sim.happen(do.Trigger()).run_id == f"s~{stamp(START)}-2"


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow", "cancel"])
def test_a_person_who_asks_again_with_a_key_gets_the_same_run(overlap):
    sim = Sim(plan(every=60.0, overlap=overlap))
    first = sim.happen(do.Trigger("a"))
    refused = sim.happen(do.NotStarted(first.run_id, "no such file"))
    assert not refused.refused
    assert sim.happen(do.Trigger("a")).run_id == first.run_id, "it could not be started, so it is tried again"
    for happened in (do.Started(first.run_id), do.Ended(first.run_id, "failed")):
        again = sim.happen(do.Trigger("a"))
        assert (again.run_id, again.events, again.orders) == (first.run_id, [], [])
        sim.happen(happened)
    other = sim.happen(do.Trigger("b"))
    assert other.run_id != first.run_id
    assert not sim.happen(do.Trigger("a")).events
    if overlap in {"queue", "cancel"}:
        waiting = sim.happen(do.Trigger("c"))
        assert waiting.events
        assert (sim.happen(do.Trigger("c")).run_id, sim.happen(do.Trigger("c")).events) == (waiting.run_id, [])


def test_a_deleted_schedule_is_unknown_until_it_is_made_again():
    sim = Sim(plan(every=60.0))
    sim.happen(do.Trigger())
    sim.happen(do.Delete())
    assert isinstance(sim.happen(do.Pause()).refused, ScheduleNotFound)
    assert isinstance(sim.happen(do.Tick()).refused, ScheduleNotFound)
    verdict = sim.put(plan(every=60.0))
    assert verdict.created
    assert sim.happen(do.Trigger()).run_id.endswith("-2")


def test_recovery_starts_again_what_may_not_have_been_started_and_looks_after_the_rest():
    sim = Sim(plan(every=60.0, overlap="allow"))
    sim.tick(START + 120)
    first, second = sim.started
    sim.happen(do.Started(first))
    sim.orders.clear()
    sim.happen(do.Recover())
    assert sim.orders == [do.Look(first), do.Start(second)]


def test_what_is_over_is_dropped_and_what_goes_on_is_kept():
    sim = Sim(plan(every=60.0, overlap="allow"))
    sim.tick(START + 60)
    for number in range(2, 2 * RECENT):
        sim.tick(START + 60 * number)
        sim.end(sim.started[-1])
    assert len(sim.known.firings) == RECENT + 1
    assert sim.known.firings[0].run_id == sim.started[0]


def test_a_state_that_was_written_down_whole_is_that_state():
    sim = Sim(plan(cron="0 3 * * *", overlap="queue"))
    sim.happen(do.Trigger())
    kept = EVENTS.validate_json(EVENTS.dump_json(ev.ScheduleKept(at=sim.now, state=sim.known)))
    assert fold_schedule(None, kept) == sim.known


def test_a_schedule_whose_time_zone_is_gone_is_paused_with_the_reason():
    sim = Sim(plan(every=60.0))
    sim.state = sim.known.model_copy(update={"plan": plan(cron="* * * * *", timezone="Mars/Olympus")})
    verdict = decide_schedule("s", sim.state, do.Tick(), START + 60)
    assert verdict.state.paused
    assert "Mars/Olympus" in (verdict.state.reason or "")
