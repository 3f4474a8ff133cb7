"""Fields that nobody takes are a mistake in a message, at any depth, unless the model says otherwise."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SerializerFunctionWrapHandler,
    computed_field,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from greenroom import session, tool
from greenroom.actors.definitions.message_check import signal_faults
from greenroom.actors.definitions.sessions import SessionDefinition
from greenroom.actors.values.conversion import read_model, state_text
from greenroom.actors.values.unknown_fields import extra_fields
from greenroom.messages.core.errors import InvalidInput
from greenroom.messages.frames.program import SessionTurn, StartProgram


@tool
def in_the_app() -> None:
    """Make this file one of the app's."""


class Count(BaseModel):
    n: int = 0


class Inner(BaseModel):
    text: str = ""


@dataclass
class Point:
    x: int = 0


class Bag(TypedDict, total=False):
    size: int


class Many(RootModel[list[Inner]]):
    pass


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    inner: Inner = Inner()


class Early(BaseModel):
    n: int

    @model_validator(mode="before")
    @classmethod
    def _unpack(cls, data: Any) -> Any:
        return {"n": data["number"]} if "number" in data else data


class Named(BaseModel):
    one: int = Field(default=0, alias="uno")
    two: int = Field(default=0, validation_alias=AliasChoices("dos", AliasPath("deux", 0)))


class Whole(BaseModel):
    inner: Inner = Inner()
    several: list[Inner] = []
    named: dict[str, Inner] = {}
    pair: tuple[Inner, int] = (Inner(), 0)
    either: Inner | Count | None = None
    many: Many = Many([])
    point: Point = Point()
    bag: Bag = {}
    loose: Loose = Loose()
    early: Early | None = None
    aliased: Named = Named()
    free: Any = None


FITTING = [
    {},
    {"inner": {"text": "a"}, "several": [{"text": "b"}, {}], "named": {"any name": {"text": "c"}}},
    {"pair": [{"text": "a"}, 1], "either": {"n": 1}, "many": [{"text": "x"}], "point": {"x": 1}, "bag": {"size": 1}},
    {"loose": {"more": 1, "inner": {"text": "a"}}, "early": {"number": 3}, "free": {"anything": {"at": "all"}}},
    {"aliased": {"uno": 1, "dos": 2}},
    {"aliased": {"one": 1, "deux": [2]}},
]
TYPOS = {
    "txet": {"txet": 1},
    "inner.txt": {"inner": {"txt": "a"}},
    "several.1.txt": {"several": [{}, {"txt": "a"}]},
    "named.k.txt": {"named": {"k": {"txt": "a"}}},
    "pair.0.txt": {"pair": [{"txt": "a"}, 1]},
    "either.txt": {"either": {"txt": "a"}},
    "many.0.txt": {"many": [{"txt": "a"}]},
    "point.y": {"point": {"x": 1, "y": 2}},
    "bag.sise": {"bag": {"sise": 1}},
    "loose.inner.txt": {"loose": {"inner": {"txt": 1}}},
    "aliased.tres": {"aliased": {"tres": 1}},
}


@pytest.mark.parametrize("json", FITTING)
def test_what_a_model_takes_by_any_of_its_names_is_no_extra_field(json: Any) -> None:
    assert extra_fields(read_model(Whole, json), json) == ()


@pytest.mark.parametrize("place", [*TYPOS])
def test_a_field_that_nothing_takes_is_named_with_its_place(place: str) -> None:
    json: Any = TYPOS[place]
    assert [where for where, _ in extra_fields(read_model(Whole, json), json)] == [place]


def test_a_typo_is_told_from_a_field_that_is_close_to_it() -> None:
    json: Any = {"txet": "a"}
    assert extra_fields(read_model(Inner, json), json) == (("txet", "there is no such field; did you mean 'text'?"),)


# ---------------------------------------------------------------- unions of sessions' messages


class Say(BaseModel):
    text: str


class Shout(BaseModel):
    text: str
    loud: int = 1


class Reset(BaseModel):
    pass


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class A(BaseModel):
    kind: Literal["a"]


class B(BaseModel):
    kind: Literal["b"]


@session
async def talks(state: Count, message: Say | Shout | Reset) -> None: ...


@session
async def tagged(state: Count, message: A | B) -> None: ...


@session
async def open_ended(state: Count, message: Say | Anything | Reset) -> None: ...


@session
async def single(state: Count, message: Reset) -> None: ...


def take(handler: Any, value: Any, name: str = "") -> str:
    definition: SessionDefinition = handler.definition
    return type(definition.take_message(name, value)).__name__


def test_a_message_goes_to_the_one_type_that_it_fits() -> None:
    assert take(talks, {"text": "a", "loud": 2}) == "Shout"
    assert take(talks, {}) == "Reset"
    assert take(tagged, {"kind": "b"}) == "B"
    assert take(open_ended, {"whatever": 1}) == "Anything"
    assert take(single, {}) == "Reset"


@pytest.mark.parametrize("value", [{"txt": "a"}, {"text": 1}, {"loud": 1}, {"text": "a", "loudd": 1}, [], "x", None])
@pytest.mark.parametrize("handler", [talks, tagged, single])
def test_a_typo_never_makes_another_message_of_one(handler: Any, value: Any) -> None:
    with pytest.raises(InvalidInput):
        take(handler, value)


def test_a_message_that_fits_two_types_is_refused_with_their_names_unless_it_says_which() -> None:
    with pytest.raises(InvalidInput, match="it fits Say and Shout: give the type"):
        take(talks, {"text": "a"})
    assert take(talks, {"text": "a"}, "Say") == "Say"
    assert take(talks, {"text": "a"}, "Shout") == "Shout"


def test_a_type_that_is_named_takes_no_other_fields_either() -> None:
    with pytest.raises(InvalidInput, match="message.text: there is no such field"):
        take(talks, {"text": "a"}, "Reset")


def test_what_is_on_record_is_read_as_it_was() -> None:
    assert isinstance(talks.definition.read_message("Reset", {"text": "of an earlier version"}), Reset)


# ---------------------------------------------------------------- recorded states


class Counted(BaseModel):
    """Its serialiser writes what no field reads."""

    size: int = 0

    @model_serializer(mode="wrap")
    def _with_format(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**write(self), "format": 2}

    @computed_field
    @property
    def twice(self) -> int:
        return 2 * self.size


class Memory(BaseModel):
    whole: Whole = Whole()
    counted: Counted = Counted()
    points: dict[int, Point] = {}


@session
async def remembers(state: Memory, message: Reset) -> None: ...


def begin(recorded: Any) -> BaseModel:
    definition: SessionDefinition = remembers.definition
    turn = SessionTurn(number=1, name="Reset", value={}, state=recorded)
    return definition.first_state(
        StartProgram(run_id="remembers/k", workflow="remembers", arguments={}, started_at=0.0, turn=turn)
    )


@pytest.mark.parametrize("json", FITTING)
def test_a_state_that_the_model_wrote_itself_begins_a_turn(json: Any) -> None:
    written = Memory(whole=read_model(Whole, json), counted=Counted(size=3), points={1: Point(2)})
    assert begin(state_text(written)) == written


@pytest.mark.parametrize("place", [*TYPOS])
def test_a_recorded_field_that_the_model_no_longer_has_is_not_lost_in_silence(place: str) -> None:
    json: Any = {"whole": TYPOS[place], "counted": {"size": 1, "format": 2}}
    with pytest.raises(InvalidInput, match="would be lost") as refused:
        begin(json)
    assert [where for where, _ in refused.value.errors] == [f"whole.{place}"]


# ---------------------------------------------------------------- messages to runs


def test_a_message_to_a_run_is_of_a_model_that_the_app_has_and_fits_it() -> None:
    assert signal_faults("Say", {"text": "a"}) == ()
    assert [place for place, _ in signal_faults("Say", {"txt": "a"})] == ["text"]
    assert [place for place, _ in signal_faults("Reset", {"txt": "a"})] == ["txt"]
    ((place, what),) = signal_faults("Sh" + "uot", {"text": "a"})
    assert place == "type"
    assert "did you mean `Shout`?" in what


def test_a_name_that_the_source_has_may_be_of_a_model_that_is_made_later() -> None:
    assert signal_faults("MadeLater", {"x": 1}) == ()  # for this very line
