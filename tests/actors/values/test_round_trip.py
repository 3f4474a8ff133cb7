"""A value arrives as it was given, equal and of the same type, or is refused with a sentence: never another one."""

import datetime as dt
import enum
import ipaddress
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    computed_field,
    field_serializer,
)

from greenroom.actors.values.conversion import ValueConverter, write_state
from greenroom.actors.values.round_trip import difference
from greenroom.messages.core.errors import DefinitionError, NotSerializable

T = TypeVar("T")


class Plain(BaseModel):
    x: int


class Twin(BaseModel):
    x: int


class Base(BaseModel):
    x: int


class Derived(Base):
    y: int = 0


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int

    @computed_field
    @property
    def double(self) -> int:
        return self.x * 2


class Inner(BaseModel):
    numbers: Json[list[int]]


class Excluding(BaseModel):
    x: int = Field(default=1, exclude=True)


class Private(BaseModel):
    x: int = 0
    _note: str = PrivateAttr("")


class Aliased(BaseModel):
    x: int = Field(validation_alias="in", serialization_alias="out")


class Losing(BaseModel):
    x: int

    @field_serializer("x")
    def lose(self, _value: int) -> int:
        return 0


class Tree(BaseModel):
    children: list["Tree"] = []


class Named(BaseModel):
    type: str
    fields: list[int]
    schema_: str = ""


class Box(BaseModel, Generic[T]):
    content: T


class Numbers(RootModel[list[int]]):
    pass


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class Wide(BaseModel):
    base: SerializeAsAny[Base]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042  what many programs have
    RED = "red"


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class Data:
    x: int
    many: tuple[int, ...] = ()


LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(10**30), 10**30),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(st.characters(codec="utf-8"), max_size=5),
    bool: st.booleans(),
    bytes: st.binary(max_size=4),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=3),
    Fraction: st.fractions(max_denominator=99),
    complex: st.complex_numbers(allow_nan=False, allow_infinity=False, max_magnitude=1e9),
    dt.datetime: st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    dt.date: st.dates(),
    dt.timedelta: st.timedeltas(dt.timedelta(days=-999), dt.timedelta(days=999)),
    UUID: st.uuids(),
    PurePosixPath: st.just(PurePosixPath("/a/b")),
    ipaddress.IPv4Address: st.ip_addresses(v=4),
    Colour: st.just(Colour.RED),
    Word: st.just(Word.RED),
    Flags: st.sampled_from([Flags.A, Flags.A | Flags.B]),
    Plain: st.builds(Plain, x=st.integers(0, 9)),
    Twin: st.builds(Twin, x=st.integers(0, 9)),
    Base: st.builds(Base, x=st.integers(0, 9)) | st.builds(Derived, x=st.integers(0, 9), y=st.integers(0, 2)),
    Closed: st.builds(Closed, x=st.integers(0, 9)),
    Inner: st.builds(Inner, numbers=st.just("[1, 2]")),
    Excluding: st.builds(Excluding, x=st.integers(0, 2)),
    Aliased: st.builds(lambda x: Aliased(**{"in": x}), st.integers(0, 9)),
    Losing: st.builds(Losing, x=st.integers(0, 2)),
    Tree: st.just(Tree(children=[Tree(), Tree(children=[Tree()])])),
    Named: st.just(Named(type="t", fields=[1])),
    Box[int]: st.builds(Box[int], content=st.integers(0, 9)),
    Box[Any]: st.builds(Box[Any], content=st.integers(0, 9) | st.dates() | st.tuples(st.integers())),
    Numbers: st.just(Numbers([1])),
    Loose: st.just(Loose.model_validate({"a": (1,)})) | st.just(Loose.model_validate({"a": [1]})),
    Wide: st.just(Wide(base=Derived(x=1))) | st.just(Wide(base=Base(x=1))),
    Pair: st.just(Pair(1, "b")),
    Data: st.just(Data(1, (2,))),
    Annotated[Cat | Dog, Field(discriminator="kind")]: st.sampled_from([Cat(), Dog()]),
    Any: st.none()
    | st.integers()
    | st.text("ab", max_size=2)
    | st.binary(max_size=2)
    | st.dates()
    | st.tuples(st.integers())
    | st.just({1: "a"})
    | st.just([Plain(x=1)])
    | st.just({2, 3}),
}


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:  # noqa: PLR0911  one for each form
    """Draw a type, and a value of it."""
    form = draw(st.sampled_from(["leaf", "list", "set", "dict", "tuple", "union", "optional"] if depth else ["leaf"]))
    if form == "leaf":
        annotation = draw(st.sampled_from(list(LEAVES)))
        return annotation, draw(LEAVES[annotation])
    annotation, value = draw(typed(depth - 1))
    match form:
        case "list":
            return list[annotation], [value]  # type: ignore[valid-type]
        case "set":
            kind = draw(st.sampled_from([int, str, dt.date, Colour, float]))
            return set[kind | str], {draw(LEAVES[kind]), "1"}  # type: ignore[valid-type]
        case "dict":
            kind = draw(st.sampled_from([int, str, dt.date, Colour, float, bytes, Decimal]))
            return dict[kind, annotation], {draw(LEAVES[kind]): value}  # type: ignore[valid-type]
        case "tuple":
            return tuple[annotation, int], (value, 1)  # type: ignore[valid-type]
        case "optional":
            return annotation | None, draw(st.sampled_from([None, value]))
        case _:
            other, second = draw(typed(depth - 1))
            return annotation | other, draw(st.sampled_from([value, second]))


@settings(max_examples=400, deadline=None)
@given(typed())
def test_a_value_comes_back_equal_and_of_the_same_type_or_is_refused(drawn: tuple[Any, Any]) -> None:
    annotation, value = drawn
    try:
        form = ValueConverter(annotation, "the result")
        text = form.encode(value)
    except (DefinitionError, NotSerializable):
        return
    assert difference(form.validate(value), form.decode(text)) is None


CARRIED = [
    (Closed, Closed(x=2)),
    (Inner, Inner(numbers="[1]")),
    (Aliased, Aliased(**{"in": 1})),
    (Tree, Tree(children=[Tree()])),
    (Named, Named(type="x", fields=[1])),
    (Flags, Flags.A | Flags.B),
    (bytes, b"\xff"),
    (dict[int, str], {1: "a"}),
    (set[int | str], {1, "1"}),
    (float, -0.0),
    (Pair, Pair(1, "b")),
    (Any, {"a": [1, None, 2.5]}),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Dog()),
]


@pytest.mark.parametrize(("annotation", "value"), CARRIED)
def test_these_are_carried_as_they_are(annotation: Any, value: Any) -> None:
    form = ValueConverter(annotation, "the result")
    assert difference(value, form.decode(form.encode(value))) is None


DIFFERENT = [
    (Plain | Twin, Twin(x=1), "Twin would come back as Plain.*discriminator"),
    (Base, Derived(x=1, y=2), "Derived would come back as Base"),
    (list[Base], [Derived(x=1)], r"\[0\]: Derived would come back as Base"),
    (Excluding, Excluding(x=5), "x: 5 would come back as 1"),
    (Losing, Losing(x=4), "x: 4 would come back as 0"),
    (Wide, Wide(base=Derived(x=1)), "base: Derived would come back as Base"),
    (Any, (1, 2), "tuple would come back as list"),
    (Any, [b"x"], r"\[0\]: bytes would come back as str"),
    (Any, {1: 2}, "the key 1 would come back as a text"),
    (Any, {"a": {(1, 2): "x"}}, r"a: the key \(1, 2\) would come back as a text"),
    (Any, Plain(x=1), "Plain would come back as dict"),
    (Box, Box(content=dt.date(2026, 1, 1)), "content: date would come back as str"),
]


@pytest.mark.parametrize(("annotation", "value", "sentence"), DIFFERENT)
def test_a_value_that_would_arrive_as_another_one_is_refused(annotation: Any, value: Any, sentence: str) -> None:
    with pytest.raises(NotSerializable, match=f"the result would not arrive as it is: .*{sentence}"):
        ValueConverter(annotation, "the result").encode(value)


def test_a_private_attribute_that_would_be_forgotten_is_refused() -> None:
    value = Private()
    ValueConverter(Private, "the result").encode(value)
    value._note = "x"
    with pytest.raises(NotSerializable, match="_note: 'x' would come back as ''"):
        ValueConverter(Private, "the result").encode(value)


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (SecretStr, "asterisks"),
        (dict[str, list[SecretBytes]], "asterisks"),
        (SecretStr | None, "asterisks"),
        (Generator[int, None, None], "an iterator is empty"),
        (Iterable[int], "an iterator is empty"),
        (Callable[[], int], "code does not travel"),
        (type[int], "a class does not travel"),
        (dict[tuple[int, int], str], "a tuple as a key"),
        (list[dict[frozenset[int], str]], "a frozenset as a key"),
    ],
)
def test_a_type_that_cannot_be_carried_is_refused_at_its_definition(annotation: Any, sentence: str) -> None:
    with pytest.raises(DefinitionError, match=f"the result is annotated with .* cannot be carried: .*{sentence}"):
        ValueConverter(annotation, "the result")


class State(BaseModel):
    model_config = ConfigDict(extra="forbid")
    base: Base = Base(x=0)
    items: list[int] = []

    @computed_field
    @property
    def count(self) -> int:
        return len(self.items)


def test_a_state_comes_back_as_it_is_or_is_refused() -> None:
    state = State(items=[1])
    assert State.model_validate_json(write_state(state, "the state").text) == state
    state.base = Derived(x=1, y=2)
    with pytest.raises(NotSerializable, match="the state would not come back as it is: base: Derived would come back"):
        write_state(state, "the state")


def test_simple_types_are_known_to_come_back_without_a_look() -> None:
    """The way of most values: it must stay cheap."""
    for annotation in (int, str, list[str], dict[str, float], Plain, list[Plain], Tree, Closed, tuple[int, ...]):
        assert not ValueConverter(annotation, "it")._doubtful


class CountedKey(str):
    """A key that counts how often it is compared."""

    compared = 0
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedKey.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("many", [100, 3000])
def test_a_dict_of_many_keys_is_compared_once_for_each_of_them(many: int) -> None:
    sent = {CountedKey(f"key {number}"): number for number in range(many)}
    back = {CountedKey(f"key {number}"): number for number in range(many)}
    CountedKey.compared = 0
    assert difference(sent, back) is None
    assert CountedKey.compared <= 10 * many
