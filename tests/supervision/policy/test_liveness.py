"""What a worker's signs of life mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.supervision.policy.liveness import BLOCKED_AFTER, HUNG_AFTER, Signs, Verdict


def watched(until: float, *, cpu_per_second: float, stopped: bool = False) -> Signs:
    """Signs of a worker that beat last at 0 and was looked at each second from then on."""
    signs = Signs(beat_at=0.0)
    for second in range(3, int(until) + 1):
        signs = signs.looked_at(float(second), second * cpu_per_second, stopped=stopped)
    return signs


@given(st.floats(0, 1e6), st.floats(0, 2.4))
def test_a_worker_that_beats_is_well(start: float, silent: float) -> None:
    assert Signs(beat_at=start).judge(start + silent).condition == "well"


def test_no_beat_and_no_cpu_progress_for_ten_seconds_is_hung() -> None:
    assert watched(9.0, cpu_per_second=0.0).judge(9.9).condition == "late"
    verdict = watched(10.0, cpu_per_second=0.0).judge(10.0)
    assert verdict.condition == "hung"
    assert verdict.detail == "no heartbeat for 10 s and no CPU progress for 10 s"


@given(st.integers(4, 500))
def test_no_beat_while_the_cpu_works_is_busy_and_never_hung(silent: int) -> None:
    assert watched(float(silent), cpu_per_second=0.5).judge(float(silent)).condition == "busy"


def test_a_stopped_process_is_hung_after_three_seconds() -> None:
    assert watched(3.0, cpu_per_second=0.0, stopped=True).judge(2.9).condition == "late"
    assert watched(3.0, cpu_per_second=0.0, stopped=True).judge(3.0).condition == "hung"


def test_a_beat_clears_every_suspicion() -> None:
    signs = watched(9.0, cpu_per_second=0.0, stopped=True).beat(9.0)
    assert signs.judge(9.1) == Verdict("well")


@given(st.floats(HUNG_AFTER, 1e6))
def test_one_late_look_alone_convicts_nobody(silent: float) -> None:
    """An observer that slept sees a long silence and one sample of CPU time: that proves nothing."""
    signs = Signs(beat_at=0.0).looked_at(silent, 1.0, stopped=False)
    assert signs.judge(silent).condition != "hung"


def test_a_silence_slept_through_by_the_observer_is_forgiven() -> None:
    assert watched(10.0, cpu_per_second=0.0).forgive(10.0).judge(10.0).condition == "well"


@pytest.mark.parametrize(("busy", "condition"), [(9.9, "well"), (10.0, "blocked")])
def test_a_program_that_holds_the_loop_is_blocked_and_named(busy: float, condition: str) -> None:
    verdict = Signs(beat_at=0.0).beat(1.0, busy, "run-7").judge(1.0, BLOCKED_AFTER)
    assert verdict.condition == condition
    assert verdict.run_id == ("run-7" if condition == "blocked" else None)


def test_a_program_that_holds_the_interpreter_is_blocked_too_because_it_has_no_deadline() -> None:
    assert watched(10.0, cpu_per_second=1.0).judge(10.0, BLOCKED_AFTER).condition == "blocked"


def test_a_step_that_holds_its_loop_is_left_to_its_deadline() -> None:
    assert Signs(beat_at=0.0).beat(1.0, 500.0, "run-7").judge(1.0).condition == "well"
