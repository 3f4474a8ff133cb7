"""Figures are a pure fold of events."""

import math
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.events import events as ev
from greenroom.messages.options.policy import StepOptions
from greenroom.messages.records.evaluation import Evaluation
from greenroom.metrics.figure_records import Metrics
from greenroom.metrics.figures import figures
from greenroom.metrics.percentiles import Spread, percentile, spread

DURATIONS = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


@dataclass(frozen=True)
class Recorded:
    event: ev.AnyEvent


def started(at=0.0):
    return ev.RunStarted(at=at, run_id="r", app="app.py", workflow="w", arguments={})


def scheduled(key, name="search", at=1.0, kind="tool"):
    return ev.StepScheduled(
        at=at, key=key, name=name, kind=kind, step=f"app:{name}", arguments=None, options=StepOptions()
    )


TOKENS = count(1)


def attempt(key, number, begin, end, outcome="ok", *, exit_=None, charged=True, **more):
    """Give the two events of one attempt."""
    token = f"1:{next(TOKENS)}"
    failure = None if outcome == "ok" else Failure(outcome=outcome, exit=exit_)
    return [
        ev.AttemptStarted(at=begin, key=key, attempt=number, token=token, worker="t-1", pid=7, incarnation=1),
        ev.AttemptEnded(
            at=end, key=key, attempt=number, token=token, outcome=outcome, failure=failure, charged=charged, **more
        ),
    ]


def measured(*events, name="w") -> Metrics:
    return figures([(name, [Recorded(event) for event in events])])


def test_nothing_adds_up_to_nothing():
    metrics = figures([])
    assert metrics.workflows == ()
    assert metrics.totals.runs == 0
    assert metrics.totals.success_rate is None


def test_a_step_that_crashed_timed_out_and_succeeded_is_counted_as_such():
    killed, overran = Exit(kind="signaled", signal="SIGKILL"), Exit(kind="timeout", signal="SIGKILL")
    metrics = measured(
        started(),
        scheduled("search#1"),
        *attempt("search#1", 1, 2.0, 3.0, "crash", exit_=killed, charged=False),
        ev.RetryScheduled(at=3.0, key="search#1", attempt=2, due=4.0),
        *attempt("search#1", 2, 4.0, 6.0, "timeout", exit_=overran),
        *attempt("search#1", 3, 7.0, 7.5, usage={"usd": 0.5, "input_tokens": 10.0}),
        ev.StepCompleted(at=8.0, key="search#1", attempt=3),
        ev.RunCompleted(at=10.0),
    )
    (workflow,) = metrics.workflows
    (step,) = workflow.steps
    assert (step.name, step.kind, step.count, step.completed, step.failed) == ("search", "tool", 1, 1, 0)
    assert (step.attempts, step.retries, step.uncharged) == (3, 2, 1)
    assert step.outcomes == {"crash": 1, "timeout": 1, "ok": 1}
    assert step.latency == Spread(count=1, p50=6.0, p95=6.0, p99=6.0)
    assert step.attempt_latency == Spread(count=3, p50=1.0, p95=2.0, p99=2.0)
    assert step.usage == {"usd": 0.5, "input_tokens": 10.0}
    assert workflow.duration.p50 == 10.0
    assert metrics.totals.restarts == 2
    assert (metrics.totals.crashes, metrics.totals.timeouts, metrics.totals.retries) == (1, 1, 2)


def judged(key, number, verdict):
    marks = (Evaluation(name="concise", score=0.2, passed=False, threshold=0.7, usage={"usd": 0.25}),)
    return ev.StepEvaluated(at=5.0, key=key, attempt=number, verdict=verdict, evaluations=marks)


def test_rejected_and_flagged_results_are_told_apart():
    metrics = measured(
        started(),
        scheduled("a", "writer", kind="llm"),
        *attempt("a", 1, 1.0, 2.0),
        judged("a", 1, "retry"),
        *attempt("a", 2, 3.0, 4.0, "invalid"),
        *attempt("a", 3, 5.0, 6.0),
        judged("a", 3, "flag"),
        ev.StepCompleted(at=6.0, key="a", attempt=3, flagged=True),
        scheduled("b", "writer", kind="llm"),
        *attempt("b", 1, 1.0, 2.0),
        judged("b", 1, "fail"),
        ev.StepFailed(at=7.0, key="b", reason="rejected", failure=Failure(outcome="rejected")),
    )
    (step,) = metrics.workflows[0].steps
    assert (step.count, step.rejections, step.flagged, step.completed, step.failed) == (2, 2, 1, 1, 1)
    assert step.usage["usd"] == 0.75, "judges were paid three times"
    assert (metrics.totals.rejections, metrics.totals.flagged, metrics.totals.invalid) == (2, 1, 1)


def test_steps_of_one_name_are_counted_per_workflow():
    events = [started(), scheduled("a"), *attempt("a", 1, 1.0, 2.0), ev.StepCompleted(at=2.0, key="a", attempt=1)]
    metrics = figures([(name, [Recorded(event) for event in events]) for name in ("y", "x", "x")])
    assert [(flow.name, flow.runs, flow.steps[0].count) for flow in metrics.workflows] == [("x", 2, 2), ("y", 1, 1)]
    assert metrics.totals.steps == 3


BEGUN = [started(), ev.ProgramStarted(at=1.0, worker="p-1", pid=7, incarnation=1)]
WAITING = [*BEGUN, ev.TimerSet(at=1.0, key="sleep#1", due=9.0)]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([started()], "pending"),
        (BEGUN, "running"),
        (WAITING, "waiting"),
        ([*WAITING, scheduled("a")], "running"),
        ([*WAITING, ev.TimerFired(at=9.0, key="sleep#1")], "running"),
        ([*BEGUN, ev.RunParked(at=2.0, reason="look")], "parked"),
        ([*BEGUN, ev.RunPaused(at=2.0)], "paused"),
        ([*BEGUN, ev.RunPaused(at=2.0), ev.RunResumed(at=3.0)], "running"),
        ([*BEGUN, ev.RunParked(at=2.0, reason="look"), ev.RunResumed(at=3.0)], "running"),
        ([*BEGUN, ev.RunCompleted(at=2.0)], "completed"),
        ([*BEGUN, ev.RunFailed(at=2.0, failure=Failure(outcome="error"))], "failed"),
        ([*BEGUN, ev.RunCancelled(at=2.0)], "cancelled"),
    ],
)
def test_a_run_has_the_status_its_events_lead_to(events, status):
    assert measured(*events).totals.statuses == {status: 1}


def test_rates_are_shares_of_the_runs_that_ended():
    ends = [ev.RunCompleted(at=2.0)] * 5 + [ev.RunFailed(at=2.0, failure=Failure(outcome="error"))] * 3
    ends += [ev.RunCancelled(at=2.0)] * 2
    runs = [("w", [Recorded(started()), Recorded(end)]) for end in ends] + [("w", [Recorded(started())])] * 7
    metrics = figures(runs)
    assert metrics.totals.runs == 17
    assert metrics.totals.success_rate == metrics.workflows[0].success_rate == 0.5
    assert metrics.totals.failure_rate == metrics.workflows[0].failure_rate == 0.3


def test_a_dead_program_is_a_restart():
    metrics = measured(*BEGUN, ev.ProgramEnded(at=2.0, exit=Exit(kind="hung"), charged=True), *BEGUN[1:])
    assert metrics.workflows[0].program_crashes == 1
    assert metrics.totals.restarts == 1


def test_a_clock_that_was_set_back_gives_no_negative_duration():
    metrics = measured(
        started(100.0),
        scheduled("a"),
        *attempt("a", 1, 50.0, 40.0),
        ev.StepCompleted(at=30.0, key="a", attempt=1),
        ev.RunCompleted(at=10.0),
    )
    (workflow,) = metrics.workflows
    assert workflow.duration.p99 == workflow.steps[0].latency.p99 == workflow.steps[0].attempt_latency.p99 == 0.0


def test_runs_may_come_from_generators():
    metrics = figures((name, (Recorded(event) for event in BEGUN)) for name in "abc")
    assert metrics.totals.runs == 3


@given(DURATIONS, st.integers(1, 100))
def test_a_percentile_was_observed_and_enough_do_not_exceed_it(durations, percent):
    found = percentile(sorted(durations), percent)
    assert found in durations
    assert sum(each <= found for each in durations) >= len(durations) * percent / 100
    assert sum(each < found for each in durations) < math.ceil(len(durations) * percent / 100)


@given(DURATIONS)
def test_percentiles_rise_and_do_not_depend_on_the_order(durations):
    found = spread(durations)
    assert found == spread(reversed(durations))
    assert found.count == len(durations)
    assert min(durations) <= found.p50 <= found.p95 <= found.p99 <= max(durations)


def test_percentiles_are_by_nearest_rank():
    assert [percentile([15, 20, 35, 40, 50], percent) for percent in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert spread([]) == Spread()


def test_figures_go_through_json_unchanged():
    metrics = measured(*BEGUN, scheduled("a"), *attempt("a", 1, 1.0, 2.0), ev.RunCompleted(at=3.0))
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics
