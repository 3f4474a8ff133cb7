import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from greenroom.actors.values.conversion import ValueConverter, as_score, check_json, read_model, write_state
from greenroom.messages.codecs.codec import FROM_WORKER
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import Completed
from greenroom.messages.records.evaluation import Score


class Colour(Enum):
    RED = "red"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: datetime


class Aliased(BaseModel):
    user_id: int = Field(alias="userId")
    group_id: int = Field(default=0, validation_alias="groupId")
    kind: Literal["a"]


class Other(BaseModel):
    kind: Literal["b"]


class Counts(BaseModel):
    total: int = 0
    names: list[str] = []
    ratio: float = 0.0
    anything: Any = None


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[str], ["a"]),
        (dict[int, str], {1: "a"}),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "a")),
        (bytes, b"\xff\x00"),
        (list[bytes], [b"\xff"]),
        (date, date(2024, 2, 29)),
        (timedelta, timedelta(seconds=1.5)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (PurePosixPath, PurePosixPath("/a/b")),
        (Colour, Colour.RED),
        (Point, Point(1, 2)),
        (Strict, Strict(when=datetime(2024, 1, 1, tzinfo=UTC))),
        (Strict | None, None),
        (Aliased, Aliased(userId=5, kind="a")),
        (list[Annotated[Aliased | Other, Field(discriminator="kind")]], [Aliased(userId=5, kind="a"), Other(kind="b")]),
        (int | str, "3"),
        (Annotated[str, AfterValidator(str.strip)], "a"),
        (None, None),
        (Any, {"a": [1, None]}),
    ],
)
def test_a_value_comes_back_as_it_was(annotation: Any, value: object) -> None:
    form = ValueConverter(annotation, "it")
    assert form.decode(form.encode(value)) == value


def test_fields_may_go_by_their_aliases_and_by_their_names() -> None:
    form = ValueConverter(Aliased, "it")
    read = form.decode({"userId": 5, "groupId": 6, "kind": "a"})
    assert (read.user_id, read.group_id) == (5, 6)
    assert form.decode(form.encode(read)) == read


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("total", "many", "the state of it does not fit Counts: total: Input should be a valid integer"),
        ("names", {}, "the state of it does not fit Counts: names: Input should be a valid array"),
        ("anything", object(), "the state of it cannot be written as JSON: anything: object has no form in JSON"),
        ("ratio", math.inf, "the state of it cannot be written as JSON: ratio: it holds NaN or an infinite number"),
        ("anything", b"\xff", "the state of it cannot be written as JSON: anything: these bytes are not text"),
    ],
)
def test_a_state_that_could_not_be_read_again_is_refused(field: str, value: object, reason: str) -> None:
    state = Counts(total=3)
    assert read_model(Counts, write_state(state, "the state of it")) == state
    setattr(state, field, value)
    with pytest.raises(NotSerializable, match=reason):
        write_state(state, "the state of it")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_without_an_annotation_passes_untouched(value: Json) -> None:
    form = ValueConverter(Any, "it")
    assert form.decode(form.encode(value)) == value


def test_what_pydantic_accepts_for_the_annotation_is_taken() -> None:
    assert ValueConverter(list[str], "it").encode(("a", "b")) == ["a", "b"]
    assert ValueConverter(list[int], "it").encode(n for n in range(3)) == [0, 1, 2]
    assert ValueConverter(Point, "it").encode({"x": 1}) == {"x": 1, "y": 0}
    assert ValueConverter(float, "it").encode(1) == 1.0


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (list[str], None, "the result of tool `f` does not fit list[str]: Input should be a valid list"),
        (list[str], ["a", 1], "the result of tool `f` does not fit list[str]: 1: Input should be a valid string"),
        (Point, {"y": 1}, "the result of tool `f` does not fit Point: x: Field required"),
        (Any, object(), "the result of tool `f` cannot be written as JSON: object has no form in JSON"),
        (Any, {"a": {1, object()}}, "the result of tool `f` cannot be written as JSON"),
        (Any, "\ud800", "the result of tool `f` cannot be written as JSON: the text .* holds half a surrogate pair"),
    ],
)
def test_a_value_that_is_no_json_is_refused_with_what_it_is_and_where(
    annotation: Any, value: object, reason: str
) -> None:
    with pytest.raises(NotSerializable, match=reason.replace("[", r"\[")):
        ValueConverter(annotation, "the result of tool `f`").encode(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_know_are_refused(value: float) -> None:
    for annotation, holder in ((float, value), (Any, {"a": [value]}), (list[float], [value])):
        with pytest.raises(NotSerializable, match="cannot be written as JSON: .*it holds NaN or an infinite number"):
            ValueConverter(annotation, "it").encode(holder)


def test_text_that_only_speaks_of_nan_is_taken() -> None:
    assert ValueConverter(str, "it").encode("NaN and Infinity") == "NaN and Infinity"


@pytest.mark.parametrize("depth", [150, 175, 180, 200, 250, 400])
def test_what_is_taken_can_be_read_again_however_deep_it_is(depth: int) -> None:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    try:
        check_json(JsonText.of(value), value)
    except ValueError:
        assert depth > 150
    else:
        frame = FROM_WORKER.encode(Completed(token="1:1", result=value, duration=0.0))
        assert FROM_WORKER.decode_frame(frame).message.result == value


def test_numbers_too_long_for_readers_are_refused() -> None:
    form = ValueConverter(Any, "it")
    assert form.encode(10**4000) == 10**4000
    with pytest.raises(NotSerializable, match="it cannot be written as JSON"):
        form.encode([1 << 20_000])


def test_json_that_does_not_fit_names_every_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        ValueConverter(list[Point], "it").decode([{"x": "a"}, {"y": 2}])
    assert caught.value.errors == (
        ("0.x", "Input should be a valid integer, unable to parse string as an integer"),
        ("1.x", "Field required"),
    )
    assert str(caught.value).startswith("it does not fit list[")


def test_an_annotation_without_json_is_a_definition_error() -> None:
    class Opaque:
        pass

    with pytest.raises(
        DefinitionError, match="argument `x` of tool `f` is annotated with .*Opaque, for which pydantic knows"
    ):
        ValueConverter(Opaque, "argument `x` of tool `f`")


@pytest.mark.parametrize(
    ("returned", "value"), [(True, 1.0), (False, 0.0), (0.25, 0.25), (1, 1.0), (Score(0.5, "so"), 0.5)]
)
def test_what_evaluators_return_becomes_a_score(returned: object, value: float) -> None:
    assert as_score(returned).value == value


@pytest.mark.parametrize("returned", [None, "good", 1.5, math.nan, [0.5]])
def test_what_is_no_score_is_refused(returned: object) -> None:
    with pytest.raises((TypeError, ValueError), match="score|Score"):
        as_score(returned)


def test_a_score_that_is_no_number_is_refused_with_the_scale() -> None:
    with pytest.raises(TypeError, match=r"between 0\.0 and 1\.0, not at 'high'"):
        Score("high")  # type: ignore[arg-type]


def test_what_lacks_an_await_is_told_as_that() -> None:
    async def call() -> int:
        return 1

    given = call()
    for annotation in (int, Any):
        with pytest.raises(NotSerializable, match="it is a call that was not awaited, .*: write `await` before"):
            ValueConverter(annotation, "it").encode(given)
        with pytest.raises(NotSerializable, match="it holds calls that were not awaited, .*: write `await` before"):
            ValueConverter(annotation, "it").encode([1, given])
    given.close()
