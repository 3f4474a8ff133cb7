from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from greenroom.actors.definitions.signature import Signature
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable
from greenroom.messages.core.json_text import JsonText
from greenroom.messages.core.message import Json


class Item(BaseModel):
    name: str
    count: int = 1


def mixed(first: int, /, second: str, *rest: float, flag: bool = False, **more: Item) -> list[Item]:
    return [Item(name=f"{first}{second}{rest}{flag}{more}")]


def plain(topic: str, n: int = 2, *, when: date | None = None, tags: list[str] = []) -> str:  # noqa: B006
    return f"{topic}{n}{when}{tags}"


def signature(fn: Callable[..., Any], **options: Any) -> Signature:
    return Signature(fn, f"tool `{fn.__name__}`", **options)


@given(
    first=st.integers(),
    second=st.text(),
    rest=st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    more=st.dictionaries(st.sampled_from(["a", "b"]), st.builds(Item, name=st.text(), count=st.integers())),
)
def test_a_call_arrives_as_it_was_written(first: int, second: str, rest: list[float], more: dict[str, Item]) -> None:
    call = signature(mixed).encode_call((first, second, *rest), {"flag": True, **more})
    args, kwargs = signature(mixed).decode_call(JsonText(call.text))
    assert mixed(*args, **kwargs) == mixed(first, second, *rest, flag=True, **more)


def test_a_call_keeps_what_was_given_by_position_and_by_name_apart() -> None:
    assert signature(plain).encode_call(("otters",), {"n": 3}) == {"args": ["otters"], "kwargs": {"n": 3}}


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "tool `plain`: missing a required argument: 'topic'"),
        (("a", 1, 2), {}, "tool `plain`: too many positional arguments"),
        (("a",), {"topc": 1}, "tool `plain`: got an unexpected keyword argument 'topc'"),
        (("a",), {"topic": "b"}, "tool `plain`: multiple values for argument 'topic'"),
    ],
)
def test_a_call_that_python_would_refuse_is_a_type_error(args: Any, kwargs: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        signature(plain).encode_call(args, kwargs)


def test_an_argument_of_a_wrong_type_is_refused_before_it_is_sent() -> None:
    with pytest.raises(
        NotSerializable, match="argument `n` of tool `plain` does not fit int: Input should be a valid int"
    ):
        signature(plain).encode_call(("a",), {"n": "many"})


def test_arguments_that_do_not_fit_on_arrival_are_all_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        signature(plain).decode_call({"args": [1], "kwargs": {"n": "x", "tags": ["a", 2]}})
    assert [field for field, _ in caught.value.errors] == ["topic", "n", "tags.1"]
    with pytest.raises(InvalidInput, match="the arguments do not fit tool `plain`: missing a required argument"):
        signature(plain).decode_call({"args": [], "kwargs": {}})


def test_binding_gives_json_by_name_with_defaults_filled_in() -> None:
    bound = signature(plain).bind(("otters",), {"when": date(2024, 2, 29)})
    assert bound == {"topic": "otters", "n": 2, "when": "2024-02-29", "tags": []}
    args, kwargs = signature(plain).decode(bound)
    assert plain(*args, **kwargs) == plain("otters", when=date(2024, 2, 29))


def test_binding_names_every_field_at_fault() -> None:
    with pytest.raises(InvalidInput) as caught:
        signature(plain).bind((), {"topc": "otters", "n": "many", "tags": ["a", 2]})
    assert dict(caught.value.errors) == {
        "topic": "is missing",
        "n": "Input should be a valid integer, unable to parse string as an integer",
        "tags.1": "Input should be a valid string",
        "topc": "is not a parameter; did you mean `topic`?",
    }
    assert "the arguments do not fit tool `plain`, which takes `topic`, `n`, `when`, `tags`" in str(caught.value)


def test_binding_refuses_too_many_and_doubled_arguments() -> None:
    with pytest.raises(InvalidInput, match="3 are given by position, at most 2 are taken"):
        signature(plain).bind(("a", 1, 2), {})
    with pytest.raises(InvalidInput, match="topic: is given twice"):
        signature(plain).bind(("a",), {"topic": "b"})


@pytest.mark.parametrize(
    ("given_", "bound"),
    [
        ({"topic": "a", "n": "3"}, {"topic": "a", "n": 3}),
        ({"topic": "3"}, {"topic": "3"}),
        ({"topic": "a", "tags": '["x", "y"]'}, {"tags": ["x", "y"]}),
        ({"topic": "a", "when": "2024-02-29"}, {"when": "2024-02-29"}),
        ({"topic": "a", "when": "null"}, {"when": None}),
        ({"topic": "a", "tags": ["x"]}, {"tags": ["x"]}),
    ],
)
def test_words_of_a_command_line_are_read_as_the_parameter_wants_them(
    given_: dict[str, Json], bound: dict[str, Json]
) -> None:
    assert signature(plain).bind_json(given_).items() >= bound.items()


def test_words_that_no_reading_fits_are_refused() -> None:
    with pytest.raises(InvalidInput, match="n: Input should be a valid integer"):
        signature(plain).bind_json({"topic": "a", "n": "many"})


@given(st.text(), st.integers(), st.none() | st.dates(), st.lists(st.text()))
def test_what_was_bound_binds_again_to_itself(topic: str, n: int, when: date | None, tags: list[str]) -> None:
    bound = signature(plain).bind((topic, n), {"when": when, "tags": tags})
    assert signature(plain).bind_json(bound) == bound


@given(
    first=st.integers(),
    second=st.text(),
    rest=st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    more=st.dictionaries(st.sampled_from(["a", "b"]), st.builds(Item, name=st.text(), count=st.integers())),
)
def test_a_call_by_name_gives_collected_arguments_as_a_list_and_an_object(first, second, rest, more):
    named = {"first": first, "second": second, "rest": rest, "more": {n: item.model_dump() for n, item in more.items()}}
    bound = signature(mixed).bind_json(named)
    assert signature(mixed).decode(bound) == ([first, second, *rest], {"flag": False, **more})
    assert signature(mixed).bind_json(bound) == bound


def test_a_call_by_name_may_leave_collected_arguments_out():
    assert signature(mixed).decode(signature(mixed).bind_json({"first": 1, "second": "x"})) == (
        [1, "x"],
        {"flag": False},
    )
    with pytest.raises(InvalidInput, match=r"rest\.0: .*number"):
        signature(mixed).bind_json({"first": 1, "second": "x", "rest": ["no"]})


def test_a_default_of_none_makes_none_an_argument() -> None:
    def loose(topic: str = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        return topic

    bound = signature(loose).bind((), {})
    assert bound == {"topic": None}
    assert signature(loose).decode(bound) == ([None], {})


def test_leading_parameters_can_be_kept_from_callers() -> None:
    kept = signature(plain, skip=1)
    assert kept.bind((), {}) == {"n": 2, "when": None, "tags": []}
    with pytest.raises(InvalidInput, match="topic: is not a parameter"):
        kept.bind((), {"topic": "a"})


def test_an_annotation_that_names_nothing_is_a_definition_error_when_first_used() -> None:
    def lost(x: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    broken = signature(lost)
    with pytest.raises(
        DefinitionError, match="an annotation of tool `lost` cannot be looked up: name 'Nowhere' is not defined"
    ):
        broken.prepare()
