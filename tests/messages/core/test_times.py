"""Numbers of seconds, wherever they are taken: NaN is refused, and what nobody lives to see is as good as never."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from greenroom import Budget, DefinitionError, Retry, RetryAfter, tool
from greenroom.messages.commands import AskSession, CancelRun
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.times import LONGEST, limit, seconds
from greenroom.messages.events.events import RunStarted
from greenroom.messages.events.schedules import Plan
from greenroom.messages.options.policy import StepOptions
from greenroom.workflows.decisions.steps.retry_policy import Again, PastAttempt, next_attempt
from greenroom.workflows.schedules.next_times import faults
from greenroom.workflows.state.fold import fold

INF, NAN = math.inf, math.nan


@tool
def step() -> None: ...


def ask(timeout: Any) -> Any:
    return AskSession(app="a", session="s", session_key="k", value={}, timeout=timeout).timeout


TAKEN = {
    "Retry.initial": lambda value: Retry(initial=value).initial,
    "Retry.max_delay": lambda value: Retry(max_delay=value).max_delay,
    "Retry.within": lambda value: Retry(within=value).within,
    "options.timeout": lambda value: step.options(timeout=value).timeout,
    "tool.timeout": lambda value: tool(timeout=value)(lambda: None).timeout,
    "Budget.wall": lambda value: Budget(wall=value).wall,
    "ask.timeout": ask,
    "RetryAfter": lambda value: RetryAfter(value).seconds,
    "wait": lambda value: seconds(value, "a wait"),
    "limit": lambda value: limit(value, "a limit"),
}
REFUSALS = (ValidationError, DefinitionError, ValueError, TypeError)
LIMITS = {"Retry.within", "options.timeout", "tool.timeout", "Budget.wall", "ask.timeout", "limit"}
"""Where what is longer than anybody lives is the same as no limit."""
OVER = {"RetryAfter", "wait", "limit"}
"""Where what is below 0 is over already."""


@pytest.mark.parametrize("name", [*TAKEN])
@pytest.mark.parametrize("value", [INF, 1e300, NAN, -1, -INF, True, "5", [], timedelta(days=1)])
def test_every_number_of_seconds_is_taken_for_what_it_says_or_refused_with_a_sentence(name: str, value: Any) -> None:
    take = TAKEN[name]
    if isinstance(value, float) and value > LONGEST:
        assert take(value) == (None if name in LIMITS else LONGEST)
    elif isinstance(value, (int, float)) and value < 0:
        if name in OVER:
            assert take(value) == 0.0
        else:
            with pytest.raises(REFUSALS, match="0|finite"):
                take(value)
    elif isinstance(value, timedelta):
        assert take(value) == 86_400.0
    else:
        with pytest.raises(REFUSALS, match="number|NaN"):
            take(value)


@pytest.mark.parametrize("field", ["factor", "jitter"])
@pytest.mark.parametrize("value", [INF, NAN, -1])
def test_what_cannot_be_reckoned_with_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Retry(**{field: value})


@given(st.floats(0, 1e308), st.floats(1, 1e308), st.one_of(st.none(), st.floats(0, 1e308)), st.integers(1, 3000))
def test_no_policy_asks_for_a_moment_that_cannot_be_reckoned(
    initial: float, factor: float, asked: float | None, many: int
) -> None:
    options = StepOptions(retry=Retry(attempts=5000, initial=initial, factor=factor, max_delay=INF))
    failure = Failure(outcome="error", classes=("builtins.Exception",), retry_after=asked)
    past = [PastAttempt("error", charged=True, failure=failure)] * min(many, 3) + [
        PastAttempt("error", charged=True, failure=failure)
    ] * max(0, many - 3)
    again = next_attempt(options, past, 1.0, 0.5)
    assert isinstance(again, Again)
    assert 0 <= again.delay <= LONGEST


def test_an_old_journal_with_an_endless_budget_has_no_moment_at_which_its_time_is_over() -> None:
    endless = Budget.model_construct(wall=INF)
    state = fold(None, RunStarted(at=1.0, run_id="r", app="a", workflow="w", arguments={}, budget=endless))
    assert state.wait_changes == []


@pytest.mark.parametrize(("field", "value"), [("every", INF), ("every", -1.0), ("catch_up", -1.0)])
def test_a_schedule_that_could_never_fire_is_refused_by_field(field: str, value: float) -> None:
    plan = Plan(app="a", workflow="w", arguments={}, **{"every": 60.0, field: value})
    assert any(field in fault for fault in faults(plan))


@pytest.mark.parametrize("every", [INF, 1e300, timedelta.max])
def test_an_interval_that_is_too_long_is_a_number_in_json_and_refused_by_its_name(every: Any) -> None:
    plan = Plan.model_validate_json(Plan(app="a", workflow="w", arguments={}, every=every).model_dump_json())
    assert faults(plan) == ["every: 1e+10 is not between 1 second and 100 years"]


@pytest.mark.parametrize("field", ["every", "catch_up"])
def test_a_plan_holds_no_seconds_that_are_no_number(field: str) -> None:
    with pytest.raises(ValidationError, match="NaN is not a number"):
        Plan(app="a", workflow="w", arguments={}, **{"every": 60.0, field: NAN})


def test_a_schedule_may_make_up_for_all_moments() -> None:
    plan = Plan(app="a", workflow="w", arguments={}, every=60.0, catch_up=INF)
    assert (plan.catch_up, faults(plan)) == (LONGEST, [])


@pytest.mark.parametrize("value", [NAN, INF, -1.0])
def test_the_limit_of_a_cleanup_is_a_number_on_the_wire(value: float) -> None:
    with pytest.raises(ValidationError):
        CancelRun(run_id="r", within=value)
