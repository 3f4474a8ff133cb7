"""What rules check, and what they say about a result that breaks them."""

import pytest

from greenroom.actors.evaluation.rules import RULES, check


def said(rule, result, call=None):
    found = check(result, call, rule=RULES.validate_python(rule).model_dump_json())
    return found.value, found.reason


@pytest.mark.parametrize(
    ("rule", "result", "reason"),
    [
        ({"rule": "contains", "texts": ("otter",)}, "two otters", ""),
        ({"rule": "contains", "texts": ("Otter", "fish")}, "two otters", "it does not contain 'Otter'; 'fish'"),
        ({"rule": "contains", "texts": ("OTTER",), "ignore_case": True}, "two otters", ""),
        ({"rule": "contains", "texts": ("otter",)}, {"text": "otter"}, ""),
        ({"rule": "contains", "texts": ("key",), "absent": True}, "a key", "it contains 'key'"),
        ({"rule": "contains", "texts": ("key",), "absent": True}, "a lock", ""),
        ({"rule": "matches", "pattern": "^[a-z]+$"}, "abc", ""),
        ({"rule": "matches", "pattern": "^[a-z]+$"}, "ABC", "nothing in it matches ^[a-z]+$"),
        ({"rule": "length", "most": 2}, "abc", "it has a length of 3, and 2 is the most"),
        ({"rule": "length", "least": 2, "at": "items"}, {"items": [1]}, "it has a length of 1, and 2 is the least"),
        ({"rule": "length", "least": 1, "at": "items.0.name"}, {"items": [{"name": "x"}]}, ""),
        ({"rule": "length", "at": "items.1"}, {"items": [1]}, "it has no items.1"),
        ({"rule": "equals", "value": "[1, 2.0]"}, [1.0, 2], ""),
        ({"rule": "equals", "value": "true"}, 1, "it is 1, not true"),
    ],
)
def test_a_rule_scores_one_or_zero_with_a_reason(rule, result, reason):
    value, found = said(rule, result)
    assert value == (0.0 if reason else 1.0)
    assert found == reason.replace("; 'fish'", "; it does not contain 'fish'")


def test_a_result_is_compared_with_the_expected_output_of_its_case():
    assert said({"rule": "equals"}, "a", {"expected": "a"}) == (1.0, "")
    assert said({"rule": "equals"}, None, {"expected": None}) == (1.0, "")
    with pytest.raises(ValueError, match="no expected output"):
        said({"rule": "equals"}, "a", {"args": []})


STEPS = {"steps": [{"name": name} for name in ("search", "fetch", "search", "write")]}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"names": ("search", "search", "write")}, ""),
        ({"names": ("fetch", "fetch")}, "fetch was called 1 of 2 times"),
        ({"names": ("write", "search"), "ordered": False}, ""),
        ({"names": ("search", "write"), "ordered": True}, ""),
        ({"names": ("write", "search"), "ordered": True}, "search was not called in its place of write > search"),
        ({"never": ("refund",)}, ""),
        ({"never": ("write",)}, "write was called"),
        ({"most": 3}, "there were 4 calls, and 3 are the most"),
        ({"most_of": {"search": 1}}, "search was called 2 times, and 1 are the most"),
    ],
)
def test_the_calls_of_a_run_are_checked(rule, reason):
    assert said({"rule": "calls", **rule}, None, STEPS) == (0.0 if reason else 1.0, reason)


def test_the_calls_of_a_run_cannot_be_checked_without_the_run():
    with pytest.raises(ValueError, match="steps of a whole run"):
        said({"rule": "calls"}, None, {"args": []})
