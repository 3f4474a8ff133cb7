"""An edit has the shape of what it takes the place of, or everything in which it differs is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.workflows.control.checks.json_shapes import misfits

ORDER = {"to": "prod", "seats": 3, "rush": True, "note": None, "items": [{"sku": "a", "count": 1}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_was_asked_about_fits_itself(value: Any) -> None:
    assert misfits(value, value) == ()


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (None, {"anything": 1}),
        (ORDER, ORDER | {"to": "test", "seats": 2.5, "note": "soon", "items": []}),
        (ORDER, ORDER | {"items": [{"sku": "b", "count": 2}] * 3}),
        ([], ["anything", 1]),
        ({}, {"anything": 1}),
        (["a", 1, None], [2, "b", {"c": True}]),
        ("yes", "no"),
    ],
)
def test_what_differs_in_its_values_alone_fits(asked: Any, given: Any) -> None:
    assert misfits(asked, given) == ()


@pytest.mark.parametrize(
    ("asked", "given", "places"),
    [
        (ORDER, [], ["args"]),
        (ORDER, {}, ["args.to", "args.seats", "args.rush", "args.note", "args.items"]),
        (ORDER, ORDER | {"to": 1, "seats": True, "rush": "no"}, ["args.to", "args.seats", "args.rush"]),
        (ORDER, ORDER | {"items": [{"sku": "b", "count": "two"}]}, ["args.items.0.count"]),
        (ORDER, ORDER | {"too": "test"}, ["args.too"]),
        (["7"], {"to": "you"}, ["args"]),
        (["7"], ["8", 9], ["args.1"]),
        ("yes", None, ["args"]),
    ],
)
def test_every_place_that_differs_in_kind_is_named(asked: Any, given: Any, places: list[str]) -> None:
    assert [fault.field for fault in misfits(asked, given)] == places


def test_a_name_that_was_mistyped_is_guessed_and_a_kind_is_said_in_words() -> None:
    (missing, unknown) = misfits({"version": "7"}, {"versoin": "8"})
    assert (missing.field, missing.sentence) == ("args.version", "is missing")
    assert unknown.sentence == "is nothing the question is about; did you mean 'version'?"
    (kind,) = misfits("7", 8)
    assert kind.sentence == "is a number, and the question is about a text"


def test_long_lists_of_one_shape_are_compared_once_for_each_member() -> None:
    rows = [{"sku": str(number), "count": number} for number in range(30_000)]
    assert misfits(rows, [*rows, {"sku": 1, "count": 1}])[0].field == "args.30000.sku"
