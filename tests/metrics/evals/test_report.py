"""The report of an evaluation counts what says something about the workflow, and nothing else."""

import pytest

from greenroom.messages.records.evaluation import Evaluation
from greenroom.metrics.evals.report import Trial, outcome_of, report


def trial(case, outcome, *, repeat=1, evaluations=(), usage=None):
    run_id = f"{case}-{repeat}"
    return Trial(
        case=case, repeat=repeat, run_id=run_id, outcome=outcome, evaluations=tuple(evaluations), usage=usage or {}
    )


def said(name, score, threshold=0.7):
    passed = score is not None and score >= threshold
    return Evaluation(
        name=name, score=score, passed=passed, threshold=threshold, error="down" if score is None else None
    )


def test_infrastructure_is_in_no_rate():
    found = report("e", "w", [trial("a", "passed"), trial("b", "failed"), trial("c", "unscored")])
    assert (found.cases, found.scored, found.passed, found.unscored) == (3, 2, 1, 1)
    assert found.pass_rate == 0.5
    assert (found.low, found.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_nothing_scored_is_no_rate_of_zero():
    found = report("e", "w", [trial("a", "unscored")])
    assert (found.pass_rate, found.low, found.high) == (None, None, None)


def test_a_case_that_passes_sometimes_is_flaky():
    trials = [
        *(trial("a", outcome, repeat=n) for n, outcome in enumerate(["passed", "failed"], 1)),
        *(trial("b", outcome, repeat=n) for n, outcome in enumerate(["passed", "unscored"], 1)),
        *(trial("c", outcome, repeat=n) for n, outcome in enumerate(["failed", "failed"], 1)),
    ]
    assert report("e", "w", trials).flaky == ("a",)


@pytest.mark.parametrize(
    ("scores", "outcome"),
    [
        ([], "passed"),
        ([0.9, 0.8], "passed"),
        ([0.9, 0.1], "failed"),
        ([0.9, None], "unscored"),
        ([0.1, None], "failed"),
    ],
)
def test_a_failed_evaluator_is_neither_pass_nor_fail(scores, outcome):
    assert outcome_of([said(str(number), score) for number, score in enumerate(scores)])[0] == outcome


def test_evaluators_have_their_means_and_agreement():
    trials = [
        trial("a", "passed", evaluations=[said("x", 1.0), said("y", 0.9)]),
        trial("b", "failed", evaluations=[said("x", 0.0), said("y", 0.1)]),
        trial("c", "unscored", evaluations=[said("x", 0.8), said("y", None)]),
    ]
    found = report("e", "w", trials)
    x, y = found.evaluators
    assert (x.scored, x.passed, x.failures) == (3, 2, 0)
    assert (y.scored, y.passed, y.failures) == (2, 1, 1)
    assert (x.mean, y.mean) == pytest.approx((0.6, 0.5))
    assert found.agreement.nominal == pytest.approx(1.0)
    assert 0.9 < found.agreement.interval < 1.0
    assert report("e", "w", trials[:1]).agreement.nominal is None


def test_usage_is_summed():
    trials = [trial("a", "passed", usage={"usd": 0.5}), trial("b", "failed", usage={"usd": 0.25, "input_tokens": 3})]
    assert report("e", "w", trials).usage == {"usd": 0.75, "input_tokens": 3}


def test_two_versions_are_compared_on_the_cases_that_both_have_scored():
    before = report("old", "w", [trial(c, o) for c, o in zip("abcdx", ["failed"] * 3 + ["passed"] * 2, strict=True)])
    now = [trial(case, "passed") for case in "abc"] + [
        trial("d", "failed"),
        trial("y", "passed"),
        trial("x", "unscored"),
    ]
    found = report("new", "w", now, before).comparison
    assert (found.earlier, found.cases, found.passed, found.earlier_passed) == ("old", 4, 3, 1)
    assert (found.gained, found.lost) == (("a", "b", "c"), ("d",))
    assert found.difference == 0.5
    assert found.p_value == pytest.approx(0.625)
    assert -1 <= found.low < 0 < found.high <= 1
    assert report("new", "w", [trial("z", "passed")], before).comparison is None


def test_a_report_is_read_as_it_was_written():
    found = report("e", "w", [trial("a", "passed", evaluations=[said("x", 1.0)])])
    assert type(found).model_validate_json(found.model_dump_json()) == found
