"""Whether, when and how a failed step is tried again."""

import math
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greenroom.messages.codecs.event_codec import decode_event, encode_event
from greenroom.messages.core.failures import Exit, Failure, Outcome
from greenroom.messages.events.events import StepScheduled
from greenroom.messages.options.policy import Retry, StepOptions
from greenroom.workflows.decisions.steps.retry_policy import Again, GiveUp, PastAttempt, next_attempt

UNITS = st.floats(0, 1, exclude_max=True)
STEADY = Retry(attempts=4, initial=1.0, factor=2.0, max_delay=60.0, jitter=0.0)
ERROR = PastAttempt(
    "error", failure=Failure(outcome="error", type="KeyError", classes=("builtins.KeyError", "builtins.Exception"))
)
CRASH = PastAttempt("crash")
FAILED: tuple[Outcome, ...] = ("error", "timeout", "invalid", "crash", "rejected")

PASTS = st.builds(
    PastAttempt,
    outcome=st.sampled_from(FAILED),
    charged=st.booleans(),
    failure=st.none()
    | st.builds(
        Failure.model_construct,
        outcome=st.sampled_from(FAILED),
        classes=st.sampled_from([(), ("builtins.ValueError", "builtins.Exception"), ("builtins.SystemExit",)]),
        fatal=st.booleans(),
        retry_after=st.none() | st.floats(allow_nan=True),
    ),
)
HISTORIES = st.lists(PASTS, min_size=1, max_size=12)
POLICIES = st.builds(
    Retry,
    attempts=st.integers(1, 6),
    initial=st.floats(0, 1e300),
    factor=st.floats(1, 1e300),
    max_delay=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    within=st.none() | st.floats(0.001, 1e6),
)
OPTIONS = st.builds(StepOptions, retry=POLICIES, crash_attempts=st.integers(1, 5), once=st.booleans())


LOST = Failure(outcome="crash", exit=Exit(kind="backend_lost"))
NEAR = PastAttempt("crash", charged=False, failure=LOST)
ALONE = PastAttempt("crash", failure=LOST)


@pytest.mark.parametrize(
    ("history", "answer"),
    [
        ([NEAR, NEAR], Again),
        ([NEAR, NEAR, ALONE], Again),
        ([NEAR, NEAR, ALONE, NEAR], Again),
        ([NEAR, NEAR, ALONE, ALONE], GiveUp),
        ([ALONE, ALONE], Again),
        ([ALONE, ALONE, ALONE], GiveUp),
    ],
)
def test_one_zygote_that_died_with_one_step_alone_may_have_been_killed_by_others(
    history: list[PastAttempt], answer: type[Again | GiveUp]
) -> None:
    found = next_attempt(StepOptions(retry=Retry(attempts=10)), history, 0.0, 0.5)
    assert isinstance(found, answer)
    assert isinstance(found, Again) or found.reason == "quarantined"


@given(OPTIONS, HISTORIES, st.floats(0, 1e6), UNITS)
def test_no_step_is_tried_more_often_than_its_policy_says(
    options: StepOptions, history: list[PastAttempt], elapsed: float, unit: float
) -> None:
    """Every history ends: what is charged is bounded by ``attempts``, and crashes by ``crash_attempts`` as well."""
    answer = next_attempt(options, history, elapsed, unit)
    if isinstance(answer, Again) and history[-1].charged:
        assert sum(past.charged for past in history) < options.retry.attempts
        if history[-1].outcome == "crash":
            assert sum(past.charged and past.outcome == "crash" for past in history) < options.crash_attempts


@given(OPTIONS, HISTORIES, st.floats(0, 1e6), UNITS)
def test_no_attempt_begins_after_within(
    options: StepOptions, history: list[PastAttempt], elapsed: float, unit: float
) -> None:
    answer = next_attempt(options, history, elapsed, unit)
    if isinstance(answer, Again):
        assert math.isfinite(answer.delay)
        assert answer.delay >= 0
        assert options.retry.within is None or elapsed + answer.delay <= options.retry.within


@given(OPTIONS, HISTORIES, st.floats(0, 1e6), UNITS)
def test_a_once_step_is_never_tried_again(
    options: StepOptions, history: list[PastAttempt], elapsed: float, unit: float
) -> None:
    assume(options.once)
    last = history[-1]
    answer = next_attempt(options, history, elapsed, unit)
    assert isinstance(answer, GiveUp)
    if last.outcome in {"crash", "timeout"} and not (last.failure and last.failure.fatal):
        assert answer == GiveUp("unknown")


def test_a_once_step_that_raised_is_over_because_nothing_may_run_twice() -> None:
    assert next_attempt(StepOptions(once=True), [ERROR], 0.0, 0.5) == GiveUp("exhausted")


def test_a_once_step_cut_off_by_an_injected_fault_is_unknown() -> None:
    assert next_attempt(StepOptions(once=True), [PastAttempt("crash", charged=False)], 0.0, 0.5) == GiveUp("unknown")


def test_the_delay_grows_by_its_factor_up_to_its_cap() -> None:
    options = StepOptions(retry=STEADY.model_copy(update={"attempts": 9, "max_delay": 5.0}))
    answers = [next_attempt(options, [ERROR] * n, 0.0, 0.5) for n in range(1, 6)]
    assert answers == [Again(1.0), Again(2.0), Again(4.0), Again(5.0), Again(5.0)]


@pytest.mark.parametrize(("unit", "delay"), [(0.0, 0.8), (0.5, 1.0), (0.75, 1.1)])
def test_jitter_moves_the_delay_either_way(unit: float, delay: float) -> None:
    options = StepOptions(retry=STEADY.model_copy(update={"jitter": 0.2}))
    answer = next_attempt(options, [ERROR], 0.0, unit)
    assert isinstance(answer, Again)
    assert answer.delay == pytest.approx(delay)


def test_retry_after_is_a_lower_bound_and_may_exceed_the_cap() -> None:
    asked = PastAttempt("error", failure=Failure(outcome="error", classes=("builtins.Exception",), retry_after=90.0))
    assert next_attempt(StepOptions(retry=STEADY), [asked], 0.0, 0.5) == Again(90.0)


def test_a_retry_after_shorter_than_the_delay_changes_nothing() -> None:
    asked = PastAttempt("error", failure=Failure(outcome="error", classes=("builtins.Exception",), retry_after=0.1))
    assert next_attempt(StepOptions(retry=STEADY), [asked], 0.0, 0.5) == Again(1.0)


def test_attempts_counts_the_first() -> None:
    options = StepOptions(retry=STEADY.model_copy(update={"attempts": 2}))
    assert next_attempt(options, [ERROR], 0.0, 0.5) == Again(1.0)
    assert next_attempt(options, [ERROR, ERROR], 0.0, 0.5) == GiveUp("exhausted")


def test_a_fatal_failure_is_never_tried_again() -> None:
    fatal = PastAttempt("error", failure=Failure(outcome="error", classes=("builtins.Exception",), fatal=True))
    assert next_attempt(StepOptions(retry=STEADY), [fatal], 0.0, 0.5) == GiveUp("fatal")


def test_never_wins_over_on() -> None:
    retry = Retry(on=(LookupError,), never=(KeyError,))
    lookup = ("builtins.IndexError", "builtins.LookupError", "builtins.Exception")
    key = ("builtins.KeyError", "builtins.LookupError", "builtins.Exception")
    again = PastAttempt("error", failure=Failure(outcome="error", classes=lookup))
    never = PastAttempt("error", failure=Failure(outcome="error", classes=key))
    assert isinstance(next_attempt(StepOptions(retry=retry), [again], 0.0, 0.5), Again)
    assert next_attempt(StepOptions(retry=retry), [never], 0.0, 0.5) == GiveUp("exhausted")


@pytest.mark.parametrize("outcome", ["timeout", "invalid", "crash", "rejected"])
def test_classes_speak_of_exceptions_alone(outcome: Outcome) -> None:
    options = StepOptions(retry=STEADY.model_copy(update={"on": ()}))
    assert next_attempt(options, [PastAttempt(outcome)], 0.0, 0.5) == Again(1.0)


def test_an_attempt_that_is_not_charged_is_made_again_at_once_and_counts_nothing() -> None:
    options = StepOptions(retry=STEADY.model_copy(update={"attempts": 1}), crash_attempts=1)
    assert next_attempt(options, [PastAttempt("crash", charged=False)] * 20, 0.0, 0.5) == Again(0.0)


def test_the_third_charged_crash_quarantines_after_one_try_alone() -> None:
    options = StepOptions(retry=STEADY)
    assert next_attempt(options, [CRASH], 0.0, 0.5) == Again(1.0, solo=False)
    assert next_attempt(options, [CRASH, CRASH], 0.0, 0.5) == Again(2.0, solo=True)
    assert next_attempt(options, [CRASH, CRASH, CRASH], 0.0, 0.5) == GiveUp("quarantined")


def test_a_suspected_step_stays_alone_when_its_solo_try_is_cut_off() -> None:
    history = [CRASH, CRASH, PastAttempt("crash", charged=False)]
    assert next_attempt(StepOptions(retry=STEADY), history, 0.0, 0.5) == Again(0.0, solo=True)


def test_a_timeout_is_no_crash() -> None:
    options = StepOptions(retry=STEADY, crash_attempts=1)
    assert next_attempt(options, [PastAttempt("timeout")], 0.0, 0.5) == Again(1.0)


@pytest.mark.parametrize("outcome", sorted(set(get_args(Outcome)) - set(FAILED)))
def test_nothing_follows_an_attempt_that_did_not_fail(outcome: Outcome) -> None:
    with pytest.raises(ValueError, match="only an attempt that failed"):
        next_attempt(StepOptions(), [PastAttempt(outcome)], 0.0, 0.5)


@pytest.mark.parametrize(
    ("retry", "delay"),
    [
        (Retry(initial=100.0, jitter=0.0), 100.0),
        (Retry(initial=100.0, jitter=0.0, max_delay=30.0), 30.0),
        (Retry(initial=1.0, factor=100.0, jitter=0.0), 60.0),
    ],
)
def test_a_first_delay_above_the_default_bound_is_meant(retry: Retry, delay: float) -> None:
    scheduled = StepScheduled(
        at=1.0, key="a#1", name="a", kind="tool", step="app:a", arguments=None, options=StepOptions(retry=retry)
    )
    read = decode_event(encode_event(scheduled))
    assert isinstance(read, StepScheduled)
    assert next_attempt(read.options, [ERROR] * 2, 0.0, 0.5) == Again(delay)
