"""What a value's author reads if a part of it does not fit into JSON."""

import math
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from greenroom.actors.values.conversion import AnyJson, ValueConverter, write_state
from greenroom.messages.core.errors import NotSerializable


class Array:
    """Like an array or a number of numpy."""

    def tolist(self) -> list[int]:
        return [1]


class Table:
    """Like a table of pandas."""

    def to_dict(self) -> dict[str, int]:
        return {"a": 1}


class Missing(datetime):
    """Like pandas' NaT, a date whose year is not a number."""

    @property
    def year(self) -> Any:
        return math.nan


class Ratio(float):
    """Like numpy's float64."""


class Moment(datetime):
    """Like pandas' Timestamp."""


class Bare:
    pass


@dataclass
class Row:
    cells: Any


class Report(BaseModel):
    row: Any = None


MOMENT = Moment(2026, 1, 1)
MISSING = Missing(2026, 1, 1)
ARRAY = f"{__name__}.Array has no form in JSON; hand on plain values in its place, such as its `tolist()`"
TABLE = f"{__name__}.Table has no form in JSON; hand on plain values in its place, such as its `to_dict()`"
BARE = "has no form in JSON; hand on what it holds, as plain values, a dataclass or a pydantic model"
HALF = "x\udcff"
NAN = "it holds NaN or an infinite number; hand on None in its place"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (Array(), ARRAY),
        ([1, {"a": (2, Array())}], f"[1].a[1]: {ARRAY}"),
        (Row({"a": Table()}), f"cells.a: {TABLE}"),
        (Report(row=[Bare()]), f"row[0]: {__name__}.Bare {BARE}"),
        ({"a": {Array: 1}}, f"a.the key {Array!r}: type {BARE}"),
        ([1.0, {"a": math.nan}], f"[1].a: {NAN}"),
        (Row([-math.inf]), f"cells[0]: {NAN}"),
        (
            {"a": [HALF]},
            (
                f"a[0]: the text {HALF!r} holds half a surrogate pair, which JSON cannot carry; hand on "
                '`text.encode(errors="replace").decode()` in its place'
            ),
        ),
    ],
)
def test_the_part_that_has_no_json_is_named_with_what_to_hand_on(value: object, sentence: str) -> None:
    with pytest.raises(NotSerializable, match=re.escape(f"it cannot be written as JSON: {sentence}") + "$"):
        ValueConverter(Any, "it").encode(value)


def test_a_part_of_a_state_is_named_as_well() -> None:
    with pytest.raises(NotSerializable, match=re.escape(f"the state cannot be written as JSON: row[0]: {ARRAY}")):
        write_state(Report(row=[Array()]), "the state")


def test_a_part_of_what_a_judge_is_given_is_named_as_well() -> None:
    with pytest.raises(NotSerializable, match=re.escape(f"it does not fit JSON: [0]: {ARRAY}")):
        ValueConverter(AnyJson, "it").encode([Array()])


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (Any, Ratio(1.5), "Ratio would come back as float; hand on a float in its place"),
        (datetime, MOMENT, "Moment would come back as datetime; hand on a datetime in its place"),
        (Any, [MOMENT], "[0]: Moment would come back as str; hand on a datetime in its place"),
        (Any, (n for n in ()), "generator would come back as list; hand on a list in its place"),
        (Any, [bytearray(b"x")], "[0]: bytearray would come back as str; annotate it with bytes"),
        (Any, {1}, "set would come back as list; annotate it with the type that it has"),
        (Any, {"a": {1: 2}}, "a: the key 1 would come back as a text; annotate the dict with the type of its keys"),
    ],
)
def test_what_is_advised_for_another_type_can_be_followed(annotation: Any, value: object, sentence: str) -> None:
    """No type is to be annotated that pydantic does not know."""
    with pytest.raises(NotSerializable, match=re.escape(f"it would not arrive as it is: {sentence}")):
        ValueConverter(annotation, "it").encode(value)


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (Any, r"cannot be written as JSON: \[0\]: .*Missing has no form in JSON \(TypeError: .*\); hand on"),
        (list[datetime], r"cannot be written as JSON: \[0\]: .*Missing has no form in JSON \(TypeError: .*\); hand on"),
        (list[date], r"could not be read as list\[datetime.date\]: TypeError: .*"),
    ],
)
def test_an_error_of_a_values_own_method_is_told_with_the_owner(annotation: Any, sentence: str) -> None:
    with pytest.raises(NotSerializable, match=f"argument `x` {sentence}") as caught:
        ValueConverter(annotation, "argument `x`").encode([MISSING])
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_value_that_holds_itself_beside_what_has_no_json_is_told_of_soon() -> None:
    endless: list[Any] = [Array()]
    endless.append(endless)
    with pytest.raises(NotSerializable, match=r"it cannot be written as JSON"):
        ValueConverter(Any, "it").encode(endless)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", min_size=1), inner, max_size=4),
        max_leaves=20,
    ),
    st.sampled_from([Array(), math.nan, Bare(), MISSING, HALF]),
    st.data(),
)
def test_wherever_a_part_has_no_json_its_place_leads_to_it(value: Any, misfit: object, data: st.DataObject) -> None:
    holders = _holders([value])
    holder = data.draw(st.sampled_from(holders))
    key = data.draw(st.sampled_from(range(len(holder)) if isinstance(holder, list) else [*holder, "new"]))
    whole = [value] if holder is not holders[0] else holder
    holder[key] = misfit
    with pytest.raises(NotSerializable) as caught:
        ValueConverter(Any, "it").encode(whole)
    place = str(caught.value).removeprefix("it cannot be written as JSON: ").split(": ")[0]
    found: Any = whole
    for index, name in re.findall(r"\[(\d+)\]|\.?(\w+)", place):
        found = found[int(index) if index else name]
    assert found is misfit


def _holders(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    here = [value] if isinstance(value, (list, dict)) and (value or isinstance(value, dict)) else []
    return here + [holder for each in inner for holder in _holders(each)]


class Blob(BaseModel):
    parts: list[bytes] = []


@dataclass
class Chunk:
    raw: bytes


@pytest.mark.parametrize(("value", "place"), [(Blob(parts=[b"a", b"\xff"]), r"parts\[1\]"), (Chunk(b"\xff"), "raw")])
def test_bytes_of_a_model_that_are_no_text_are_named_with_what_lets_them_pass(value: Any, place: str) -> None:
    with pytest.raises(NotSerializable, match=f"{place}: these bytes are not text.*ser_json_bytes"):
        ValueConverter(type(value), "it").encode(value)


def test_bytes_of_a_state_that_are_no_text_are_named_too() -> None:
    with pytest.raises(NotSerializable, match=r"parts\[0\]: these bytes are not text"):
        write_state(Blob(parts=[b"\xff"]), "the state")


class Encoded(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    parts: list[bytes] = []


@given(st.lists(st.binary()))
def test_a_model_configured_as_the_sentence_says_carries_any_bytes(parts: list[bytes]) -> None:
    form = ValueConverter(Encoded, "it")
    assert form.decode(form.encode(Encoded(parts=parts))).parts == parts
