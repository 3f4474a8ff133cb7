"""The statistics of evaluations give what scipy, statsmodels and krippendorff gave for the same cases."""

import json
from pathlib import Path

import pytest

from greenroom.metrics.evals.statistics import (
    interval_alpha,
    mcnemar_exact,
    newcombe_interval,
    nominal_alpha,
    wilson_interval,
)

REFERENCE = json.loads((Path(__file__).parents[2] / "data" / "evaluation_statistics.json").read_text())


def equal(value):
    return pytest.approx(value, rel=0, abs=1e-12)


@pytest.mark.parametrize("case", REFERENCE["wilson"], ids=lambda case: str(case["arguments"]))
def test_wilson_intervals_are_those_of_scipy_and_statsmodels(case):
    found = wilson_interval(*case["arguments"])
    assert found == equal(tuple(case["scipy"]))
    assert found == equal(tuple(case["statsmodels"]))


@pytest.mark.parametrize("case", REFERENCE["newcombe"], ids=lambda case: str(case["arguments"]))
def test_newcombe_intervals_are_those_of_statsmodels(case):
    assert newcombe_interval(*case["arguments"]) == equal(tuple(case["statsmodels"]))


@pytest.mark.parametrize("case", REFERENCE["mcnemar"], ids=lambda case: str(case["arguments"]))
def test_exact_mcnemar_tests_are_those_of_scipy_and_statsmodels(case):
    found = mcnemar_exact(*case["arguments"])
    assert found == equal(case["scipy"])
    assert found == equal(case["statsmodels"])


@pytest.mark.parametrize("case", REFERENCE["alpha"], ids=lambda case: f"{len(case['units'])} units")
def test_krippendorffs_alpha_is_that_of_krippendorff(case):
    assert nominal_alpha(case["units"]) == equal(case["nominal"])
    assert interval_alpha(case["units"]) == equal(case["interval"])


def test_alpha_is_undefined_without_pairs_or_without_any_difference():
    assert nominal_alpha([]) is None
    assert nominal_alpha([[True, None], [None, False]]) is None
    assert interval_alpha([[0.1, 0.1, 0.1], [0.1, 0.1]]) is None


def test_nothing_is_computed_from_impossible_numbers():
    for passed, count in ((2, 1), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="passes"):
            wilson_interval(passed, count)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, 1.0)
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar_exact(-1, 3)
