"""The delay between the lives of a worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.supervision.policy.restart_backoff import HEALTHY_AFTER, LARGEST, SMALLEST, next_streak, restart_delay

UNITS = st.floats(0, 1, exclude_max=True)


@given(UNITS)
def test_the_first_restart_after_a_healthy_life_is_immediate(unit: float) -> None:
    assert restart_delay(0, unit) == 0.0


@given(st.integers(1, 10**9), UNITS)
def test_every_other_delay_lies_between_a_tenth_of_a_second_and_thirty(streak: int, unit: float) -> None:
    assert SMALLEST <= restart_delay(streak, unit) <= LARGEST


@given(st.integers(0, 100), UNITS)
def test_a_longer_streak_never_waits_less(streak: int, unit: float) -> None:
    assert restart_delay(streak, unit) <= restart_delay(streak + 1, unit)


def test_jitter_is_full_so_two_workers_of_one_streak_come_back_apart() -> None:
    assert restart_delay(6, 0.1) == pytest.approx(0.64)
    assert restart_delay(6, 0.9) == pytest.approx(5.76)


@given(st.integers(0, 50), st.floats(HEALTHY_AFTER, 1e6), st.booleans())
def test_a_minute_of_health_ends_the_streak(streak: int, ready_for: float, served: bool) -> None:
    assert next_streak(streak, ready_for=ready_for, served=served) == 0


@given(st.integers(0, 50), st.floats(0, 1e6))
def test_one_finished_job_ends_the_streak(streak: int, ready_for: float) -> None:
    assert next_streak(streak, ready_for=ready_for, served=True) == 0


@given(st.integers(0, 50), st.one_of(st.none(), st.floats(0, HEALTHY_AFTER, exclude_max=True)))
def test_a_life_that_did_nothing_adds_to_the_streak(streak: int, ready_for: float | None) -> None:
    assert next_streak(streak, ready_for=ready_for, served=False) == streak + 1
