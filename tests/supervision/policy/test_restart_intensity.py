"""Restart intensity."""

from hypothesis import given
from hypothesis import strategies as st

from greenroom.supervision.policy.restart_intensity import RestartIntensity

MOMENTS = st.lists(st.floats(0, 300), max_size=40).map(sorted)


@given(MOMENTS, st.integers(0, 6), st.floats(1, 100))
def test_the_intensity_is_exceeded_exactly_when_a_window_holds_too_many_deaths(
    moments: list[float], allowed: int, within: float
) -> None:
    intensity = RestartIntensity(allowed, within)
    for index, now in enumerate(moments):
        intensity = intensity.died(now)
        in_window = sum(moment >= now - within for moment in moments[: index + 1])
        assert intensity.exceeded == (in_window > allowed)


def test_without_any_allowance_the_first_death_exceeds_it() -> None:
    assert RestartIntensity(0, 60.0).died(0.0).exceeded


def test_slow_failed_starts_never_fill_the_window_but_their_streak_exceeds() -> None:
    intensity = RestartIntensity(5, 60.0)
    for life in range(6):
        assert not intensity.exceeded
        intensity = intensity.failed_start(life * 100.0, begun=life * 100.0 - 30)
    assert len(intensity.restarts) == 1
    assert intensity.exceeded


def test_a_worker_that_becomes_ready_ends_the_streak() -> None:
    intensity = RestartIntensity(1, 10.0).failed_start(0.0, begun=0.0).ready().failed_start(100.0, begun=99.0)
    assert not intensity.exceeded


def test_workers_started_together_that_all_fail_are_one_incident() -> None:
    intensity = RestartIntensity(1, 60.0)
    for _ in range(8):
        intensity = intensity.failed_start(1.0, begun=0.0)
    assert intensity.streak == 1
    assert not intensity.exceeded


def test_a_start_that_fails_after_the_failure_was_known_counts_again() -> None:
    intensity = RestartIntensity(1, 60.0).failed_start(1.0, begun=0.0).failed_start(2.0, begun=1.0)
    assert intensity.streak == 2
    assert intensity.exceeded
