"""How the scores of a panel's members become one, and when a panel has failed."""

import pytest

from greenroom.actors.evaluation.panels import Member, combined
from greenroom.messages.records.evaluation import Evaluation


def members(*given):
    return [
        Member(
            weight,
            Evaluation(
                name=f"m{number}",
                score=score,
                passed=score is not None and score >= 0.7,
                threshold=0.7,
                error="down" if score is None else None,
            ),
        )
        for number, (weight, score) in enumerate(given)
    ]


@pytest.mark.parametrize(
    ("combine", "given", "score", "passed"),
    [
        ("mean", [(1, 1.0), (2, 0.4)], 0.6, False),
        ("mean", [(2, 1.0), (1, 0.4)], 0.8, True),
        ("mean", [(2, 1.0), (1, None)], 1.0, True),
        ("mean", [(1, 1.0), (1, None)], None, False),
        ("majority", [(1, 0.9), (1, 0.8), (1, 0.1)], 2 / 3, True),
        ("majority", [(1, 0.9), (1, 0.1)], 0.5, False),
        ("majority", [(1, 0.9), (3, 0.1)], 0.25, False),
        ("majority", [(1, 0.9), (1, None)], None, False),
        ("min", [(1, 0.9), (1, 0.8)], 0.8, True),
        ("min", [(1, 0.9), (1, None)], None, False),
        ("min", [(1, 0.1), (1, None)], 0.1, False),
        ("mean", [(1, None)], None, False),
    ],
)
def test_scores_become_one(combine, given, score, passed):
    found = combined("panel", combine, 0.7, members(*given))
    assert found.score == (None if score is None else pytest.approx(score))
    assert found.passed is passed
    assert (found.error is not None) is (score is None)
    assert found.name == "panel"


@pytest.mark.parametrize("scores", [(0.7, 0.7, 0.7), (0.5, 0.7, 0.9), (0.4, 0.8, 0.9)])
def test_a_mean_of_exactly_the_threshold_is_enough(scores):
    found = combined("panel", "mean", 0.7, members(*((1, score) for score in scores)))
    assert (found.score, found.passed) == (0.7, True)


@pytest.mark.parametrize("given", [((0.3, 0.1), (0.2, 0.9), (0.1, 0.9)), ((0.1, 0.9), (0.2, 0.9), (0.3, 0.1))])
def test_half_of_the_weight_is_no_majority_in_any_order_of_the_members(given):
    found = combined("panel", "majority", 0.7, members(*given))
    assert (found.score, found.passed) == (0.5, False)


@pytest.mark.parametrize("combine", ["mean", "majority"])
def test_half_of_the_weight_is_not_enough_to_answer(combine):
    found = combined("panel", combine, 0.7, members((0.3, None), (0.2, 0.9), (0.1, 0.9)))
    assert found.error == "m0 failed: down"


def test_a_panel_tells_what_its_members_said():
    found = combined("panel", "mean", 0.7, members((1, 1.0), (1, None), (1, 0.5)))
    assert found.reason == "m0 1.00; m2 0.50"
    assert combined("panel", "min", 0.2, members((1, 1.0), (1, None))).error == "m1 failed: down"
