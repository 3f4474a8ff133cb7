"""Circuit breakers: they open after failures in a row, let one call through, and close once one succeeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom import Breaker
from greenroom.messages.core.failures import Failure
from greenroom.supervision.policy.circuit_breaker import CircuitBreaker, is_infrastructure


def test_it_opens_after_failures_in_a_row_and_lets_one_call_through_after_the_cooldown():
    breaker = CircuitBreaker(Breaker(failures=3, within=10.0, cooldown=5.0))
    breaker.failed("a", 1.0)
    breaker.failed("b", 2.0)
    breaker.succeeded("c")
    for second in (3.0, 4.0):
        breaker.failed("d", second)
    assert (str(breaker.status), breaker.next_at(4.0)) == ("closed", 4.0)
    breaker.failed("e", 5.0)
    assert (str(breaker.status), breaker.next_at(5.0)) == ("open", 10.0)
    breaker.succeeded("f")
    assert str(breaker.status) == "open", "the answer to a call from before does not close it"
    breaker.started("probe")
    assert (breaker.status, breaker.next_at(10.0)) == ("half_open", None)
    breaker.failed("probe", 11.0)
    assert (breaker.status, breaker.next_at(11.0)) == ("open", 16.0)
    breaker.started("withdrawn")
    breaker.dropped("withdrawn")
    assert breaker.next_at(16.0) == 16.0
    breaker.started("next")
    breaker.succeeded("next")
    assert (breaker.status, breaker.next_at(17.0), breaker.openings) == ("closed", 17.0, 1)


def test_failures_far_apart_do_not_open_it():
    breaker = CircuitBreaker(Breaker(failures=3, within=10.0))
    for second in (0.0, 6.0, 12.0, 18.0, 24.0):
        breaker.failed("a", second)
    assert str(breaker.status) == "closed"
    breaker.failed("a", 28.0)
    assert str(breaker.status) == "open"


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["fails", "works", "is withdrawn"])), max_size=60))
def test_calls_in_order_never_overlap_while_it_is_open_and_it_never_stays_open_for_good(calls):
    breaker = CircuitBreaker(Breaker(failures=2, within=10.0, cooldown=3.0))
    now = 0.0
    for number, (pause, outcome) in enumerate(calls):
        now += pause
        at = breaker.next_at(now)
        assert at is not None, "no call is under way"
        assert at <= now + 3.0
        now, token = at, str(number)
        breaker.started(token)
        assert breaker.next_at(now) == (None if breaker.status == "half_open" else now)
        if outcome == "fails":
            breaker.failed(token, now)
        elif outcome == "works":
            breaker.succeeded(token)
            assert breaker.status == "closed"
        breaker.dropped(token)
        assert breaker.status != "half_open"


@pytest.mark.parametrize(
    ("failure", "of_model", "of_tool"),
    [
        (Failure(outcome="crash"), True, True),
        (Failure(outcome="timeout"), True, True),
        (Failure(outcome="error", classes=("builtins.ConnectionResetError", "builtins.ConnectionError")), True, True),
        (Failure(outcome="error", classes=("builtins.TimeoutError",)), True, True),
        (Failure(outcome="error", classes=("openai.InternalServerError",)), True, False),
        (Failure(outcome="error", classes=("builtins.ValueError",), fatal=True), False, False),
        (Failure(outcome="error", retry_after=1.0), False, False),
        (Failure(outcome="invalid"), False, False),
        (Failure(outcome="cancelled"), False, False),
    ],
)
def test_failures_of_infrastructure_count_and_those_of_the_apps_own_code_do_not(failure, of_model, of_tool):
    assert is_infrastructure(failure, model=True) == of_model
    assert is_infrastructure(failure, model=False) == of_tool
