"""Virtual time: what waits takes no time, what works takes the time that it takes, and nothing comes out of order."""

import asyncio
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from greenroom import Orchestrator, RunCancelled
from greenroom.testing import VirtualClock
from tests.support import eventually
from tests.testing.apps import idle
from tests.testing.apps.idle import DAY, Word

pytestmark = pytest.mark.slow


def test_a_workflow_that_sleeps_30_days_takes_less_than_a_second(orchestrator, virtual_clock, record_property) -> None:
    """Counted is a run from its start to its result. The app is loaded by another one before, which is noted apart."""
    begun = time.monotonic()
    orchestrator.start(idle.sleeps, 0.0).result(timeout=30)
    loaded, before = time.monotonic(), virtual_clock.now()
    slept = orchestrator.start(idle.sleeps, 30 * DAY).result(timeout=30)
    took = time.monotonic() - loaded
    record_property("seconds_to_load_an_app", loaded - begun)
    record_property("seconds_for_30_days", took)
    assert slept == 30 * DAY
    assert (virtual_clock.now() - before).total_seconds() == 30 * DAY
    assert took < 1.0


def test_backoff_of_hours_takes_no_time_and_is_on_record(orchestrator, virtual_clock, tmp_path: Path) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.retries, str(tmp_path / "log"))
    assert run.result(timeout=30) == 4
    assert (virtual_clock.now() - before).total_seconds() == 3600 * (1 + 2 + 4)
    started = [attempt.started_at for attempt in run.steps()[0].attempts]
    assert [(moment - started[0]).total_seconds() / 3600 for moment in started] == [0, 1, 3, 7]


@pytest.mark.parametrize("spoken", [False, True])
def test_a_receive_times_out_after_its_day_unless_the_message_comes(orchestrator, virtual_clock, spoken: bool) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.waits_for_word, DAY)
    if spoken:
        run.signal(Word(text="hello"))
    assert run.result(timeout=30) == ("hello" if spoken else "nobody spoke")
    assert (virtual_clock.now() - before).total_seconds() == (0 if spoken else DAY)


def test_asyncio_timeout_ends_a_wait(orchestrator) -> None:
    assert orchestrator.start(idle.gives_up, 5000.0).result(timeout=30) == 5000.0


def test_a_run_that_heeds_no_cancellation_is_ended_at_the_limit_of_its_cleanup(orchestrator, virtual_clock) -> None:
    run = orchestrator.start(idle.clings)
    virtual_clock.advance(0)  # until it waits
    before = virtual_clock.now()
    run.cancel("enough", within=3600)
    with pytest.raises(RunCancelled, match="enough"):
        run.result(timeout=30)
    assert (virtual_clock.now() - before).total_seconds() == 3600.0


def test_children_that_sleep_side_by_side_wake_in_their_order(orchestrator, virtual_clock) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.parent, 3, DAY)
    assert run.result(timeout=30) == [DAY, 2 * DAY, 3 * DAY]
    assert (virtual_clock.now() - before).total_seconds() == 3 * DAY
    ended = [stored.event for stored in run.events() if stored.type == "child.ended"]
    assert [round(event.at - before.timestamp()) for event in ended] == [DAY, 2 * DAY, 3 * DAY]


def test_time_stands_still_while_nobody_waits(orchestrator, virtual_clock) -> None:
    before = virtual_clock.now()
    run = orchestrator.start(idle.sleeps, 0.05)
    eventually(lambda: run.status == "waiting")
    threading.Event().wait(0.2)  # longer than the run sleeps, in reality
    assert run.status == "waiting"
    assert virtual_clock.now() == before
    virtual_clock.advance(0.05)
    assert run.status == "completed"


def test_a_result_that_is_there_moves_no_other_run(orchestrator, virtual_clock) -> None:
    late = orchestrator.start(idle.sleeps, 2 * DAY)
    early = orchestrator.start(idle.sleeps, DAY)
    before = virtual_clock.now()
    for _ in range(20):
        assert early.result(timeout=30) == DAY
        assert (virtual_clock.now() - before).total_seconds() == DAY
        assert late.status == "waiting"
    assert late.result(timeout=30) == 2 * DAY


def test_advance_goes_through_everything_on_its_way_and_no_further(orchestrator, virtual_clock) -> None:
    run = orchestrator.start(idle.naps, 5, 60.0)
    virtual_clock.advance(59)
    assert [stored.type for stored in run.events()].count("timer.fired") == 0
    virtual_clock.advance(1)
    assert [stored.type for stored in run.events()].count("timer.fired") == 1
    virtual_clock.advance(200)
    assert [stored.type for stored in run.events()].count("timer.fired") == 4
    virtual_clock.advance(40)
    assert run.status == "completed"
    with pytest.raises(ValueError, match="time goes forward: give seconds from 0, not -1"):
        virtual_clock.advance(-1)


def test_a_run_in_memory_and_one_that_left_it_are_woken_alike(orchestrator, virtual_clock) -> None:
    """A wait of more than half a minute drops a run from memory."""
    near, far = orchestrator.start(idle.sleeps, 20.0), orchestrator.start(idle.sleeps, DAY)
    virtual_clock.advance(DAY)
    assert (near.status, far.status) == ("completed", "completed")


def test_timers_of_a_paused_run_do_not_fire_before_it_goes_on(orchestrator, virtual_clock) -> None:
    run, other = orchestrator.start(idle.sleeps, DAY), orchestrator.start(idle.sleeps, 3 * DAY)
    virtual_clock.advance(0)  # until both wait
    run.pause()
    assert other.result(timeout=30) == 3 * DAY
    assert run.status == "paused"
    run.resume()
    assert run.result(timeout=30) == 3 * DAY
    fired = [stored.at for stored in run.events() if stored.type == "timer.fired"]
    assert fired == [virtual_clock.time()]


def test_a_run_that_sleeps_goes_on_sleeping_in_the_next_orchestrator(tmp_path: Path) -> None:
    clock = VirtualClock()
    with Orchestrator(home=tmp_path, clock=clock, durability="process") as first:
        first.start(idle.sleeps, 30 * DAY, id="long")
        first.start(idle.sleeps, 25.0, id="short")
        clock.advance(10)
    before = clock.now()
    clock.advance(5)
    with Orchestrator(home=tmp_path, clock=clock, durability="process") as second:
        assert second.get("short").result(timeout=30) == 25.0
        assert (clock.now() - before).total_seconds() == 15.0
        assert second.get("long").result(timeout=30) == 30 * DAY
        assert (clock.now() - before).total_seconds() == 30 * DAY - 10


def test_what_came_due_while_everything_was_down_comes_at_once(tmp_path: Path) -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with Orchestrator(home=tmp_path, clock=clock, durability="process") as first:
        first.start(idle.sleeps, DAY, id="run")
        clock.advance(0)
    clock.advance(7 * DAY)
    with Orchestrator(home=tmp_path, clock=clock, durability="process") as second:
        assert second.get("run").result(timeout=30) == 7 * DAY
    assert clock.now() == datetime(2026, 1, 8, tzinfo=UTC)


def test_time_does_not_pass_a_step_that_runs(orchestrator, virtual_clock, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run, sleeper = orchestrator.start(idle.held, str(gate)), orchestrator.start(idle.sleeps, DAY)
    eventually(lambda: (run.status, sleeper.status) == ("running", "waiting"))
    with pytest.raises(TimeoutError, match="after 0.3 real seconds something is still under way"):
        virtual_clock.advance(DAY, timeout=0.3)
    assert sleeper.status == "waiting"
    gate.write_text("open")
    assert run.result(timeout=30)
    assert sleeper.status == "waiting"
    assert sleeper.result(timeout=30) == DAY


def test_a_timeout_around_a_step_that_hangs_ends_when_its_time_has_really_passed(orchestrator, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run = orchestrator.start(idle.held_with_timeout, str(gate), 0.3)
    assert run.result(timeout=30) == "gave up"


def test_a_jump_takes_a_step_that_hangs_past_its_timeout(orchestrator, virtual_clock, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run = orchestrator.start(idle.held_with_timeout, str(gate), 3600.0)
    eventually(lambda: [step.status for step in run.steps()] == ["running"])
    virtual_clock.jump(3600)
    assert run.result(timeout=30) == "gave up"


def test_a_short_step_is_not_overtaken_by_a_longer_wait(orchestrator) -> None:
    assert orchestrator.start(idle.beside, 0.2, 60.0).result(timeout=30) == ["worked", "waited"]


def test_following_a_run_stops_the_clock_at_every_event(orchestrator, virtual_clock) -> None:
    run = orchestrator.start(idle.naps, 3, DAY)
    before, fired = virtual_clock.now(), 0
    for stored in run.events(follow=True):
        if stored.type == "timer.fired":
            fired += 1
            assert (virtual_clock.now() - before).total_seconds() == fired * DAY
    assert fired == 3


async def _both(orchestrator: Orchestrator) -> list[float]:
    return list(await asyncio.gather(orchestrator.start(idle.sleeps, DAY), orchestrator.start(idle.sleeps, 2 * DAY)))


def test_awaiting_runs_moves_the_clock_too(orchestrator) -> None:
    assert asyncio.run(_both(orchestrator)) == [DAY, 2 * DAY]


@pytest.mark.parametrize("given", [float("inf"), 1e300, 1e12, float("nan"), -1, "3", None])
def test_a_time_that_no_calendar_has_is_refused_and_the_clock_goes_on(orchestrator, virtual_clock, given) -> None:
    before = virtual_clock.now()
    for travel in (virtual_clock.advance, virtual_clock.jump, VirtualClock(before).advance):
        with pytest.raises((TypeError, ValueError), match=r"time goes forward|its last year is 9999"):
            travel(given)
    assert virtual_clock.now() == before
    assert orchestrator.start(idle.sleeps, DAY).result(timeout=30) == DAY


@pytest.mark.parametrize("start", ["2026", float("nan"), float("inf"), -1, 1e300, [2026]])
def test_a_clock_does_not_start_at_what_is_no_time(start) -> None:
    with pytest.raises((TypeError, ValueError), match=r"a virtual clock starts (at a datetime|between the years)"):
        VirtualClock(start)


def test_a_clock_serves_one_orchestrator_at_a_time(orchestrator, virtual_clock, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="serves another orchestrator"):
        Orchestrator(home=tmp_path, clock=virtual_clock)
    assert orchestrator.start(idle.sleeps, DAY).result(timeout=30) == DAY


@pytest.mark.orchestrator(clock=None)
def test_a_mark_chooses_the_time_of_the_machine(orchestrator, virtual_clock) -> None:
    before, begun = virtual_clock.now(), time.time()
    run = orchestrator.start(idle.sleeps, 0.2)
    assert 0.2 <= run.result(timeout=30) < 20
    assert virtual_clock.now() == before
    assert next(run.events()).at >= begun
