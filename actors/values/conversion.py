"""Values of users' types as JSON and back, by annotation.

Everything a step takes and gives crosses processes and enters the journal as JSON. A ``Form`` is how the values of one
annotation do that; what does not fit is named, with its place.
"""

from functools import cached_property
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json

from greenroom.actors.values.round_trip import certain, difference, models, unfit
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable
from greenroom.messages.core.json_scanner import WRAPPING, check_written
from greenroom.messages.core.json_text import JsonText, text_of
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.evaluation import Score

M = TypeVar("M", bound=BaseModel)
Faults = tuple[tuple[str, str], ...]
"""What is wrong with a value: ``(place, sentence)`` pairs."""

# Any bytes survive the way; NaN stays what it is, to be refused rather than turned into null.
_PLAIN: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


class Form:
    """How the values of one annotation are written as JSON and read back. Immutable; any thread.

    Args:
        annotation: Anything pydantic understands.
        owner: What carries the annotation, such as "the result of tool `search`". Stands in every error.
        returns: Whether what is written will be read as the same type again, and so has to be the same.

    Raises:
        DefinitionError: pydantic knows no JSON for the annotation, or no value of it could come back as it was.
    """

    def __init__(self, annotation: Any, owner: str, *, returns: bool = True) -> None:
        """Build the validator and the serializer once."""
        self.annotation = annotation
        self.owner = owner
        self._adapter: TypeAdapter[Any] = _adapter(annotation, owner)
        schema = self._adapter.core_schema
        if returns and (why := unfit(schema)) is not None:
            msg = f"{owner} is annotated with {type_name(annotation)}, which cannot be carried: {why}"
            raise DefinitionError(msg)
        self._doubtful = returns and not certain(schema)
        """Whether each value has to be read again to know that it comes back as it was."""
        self._models = models(schema) if returns else ()

    def encode(self, value: object) -> Json:
        """Give ``value`` as JSON. It may be anything that the annotation accepts, such as a tuple for a list.

        Raises:
            NotSerializable: It does not fit the annotation, or holds something JSON does not know.
        """
        try:
            return self.dump(self._adapter.validate_python(value))
        except ValidationError as error:
            msg = f"{self.owner} does not fit {type_name(self.annotation)}: {sentence(faults(error))}"
            raise NotSerializable(msg) from error

    def dump(self, value: object) -> Json:
        """Give a value that has been validated already as JSON.

        Raises:
            NotSerializable: It holds something JSON does not know.
        """
        try:
            json = JsonText.of(self._adapter.dump_python(value, mode="json", warnings="error", round_trip=True))
            check_json(json)
        except (PydanticSerializationError, ValueError) as error:
            msg = f"{self.owner} cannot be written as JSON: {error}"
            raise NotSerializable(msg) from error
        if self._doubtful or (self._models and any(model.__subclasses__() for model in self._models)):
            self._check_returns(value, json)
        return json

    def _check_returns(self, value: object, json: JsonText) -> None:
        """Refuse a value that would come back as another one.

        Raises:
            NotSerializable: It would, or not at all.
        """
        try:
            back = self.read(json)
        except ValidationError as error:
            msg = f"{self.owner} could not be read again as {type_name(self.annotation)}: {sentence(faults(error))}"
            raise NotSerializable(msg) from error
        if (found := difference(value, back)) is not None:
            msg = f"{self.owner} would not arrive as it is: {found}"
            raise NotSerializable(msg)

    def validate(self, value: object) -> object:
        """Give a Python value as the annotation wants it.

        Raises:
            ValidationError: It does not fit.
        """
        return self._adapter.validate_python(value)

    def read(self, json: Json, *, strict: bool | None = None) -> Any:
        """Give the value that ``json`` stands for, by the rules for JSON: a string may be a date, a list a set.

        Raises:
            ValidationError: It does not fit.
        """
        return self.read_text(text_of(json), strict=strict)

    def read_text(self, text: str | bytes, *, strict: bool | None = None) -> Any:
        """Give the value that JSON text stands for.

        Fields may go by their aliases, as people and services write them, or by their names, as ``dump`` does.

        Raises:
            ValidationError: It does not fit, or is no JSON.
        """
        return self._adapter.validate_json(text, strict=strict, by_alias=True, by_name=True)

    def decode(self, json: Json) -> Any:
        """Give the value that ``json`` stands for.

        Raises:
            InvalidInput: It does not fit; every place at fault is named.
        """
        try:
            return self.read(json)
        except ValidationError as error:
            found = faults(error)
            msg = f"{self.owner} does not fit {type_name(self.annotation)}: {sentence(found)}"
            raise InvalidInput(msg, found) from error

    @cached_property
    def schema(self) -> dict[str, Shown]:
        """The JSON schema of the annotation."""
        return self._adapter.json_schema()


def _adapter(annotation: Any, owner: str) -> TypeAdapter[Any]:
    try:
        try:
            return TypeAdapter(annotation, config=_PLAIN)
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                raise
            return TypeAdapter(annotation)  # models and dataclasses bring a config of their own
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
        msg = (
            f"{owner} is annotated with {type_name(annotation)}, for which pydantic knows no JSON: use a pydantic "
            f"model, a dataclass or a built-in type ({str(error).splitlines()[0]})"
        )
        raise DefinitionError(msg) from error


def check_json(json: JsonText) -> None:
    """Refuse what Python writes as JSON and not every reader takes.

    Raises:
        ValueError: NaN, an infinite number, half a surrogate pair, thousands of digits, nesting deeper than readers go.
    """
    try:
        check_written(json.text)
    except ValueError:
        from_json(b"[" * WRAPPING + json.text + b"]" * WRAPPING)  # says what it is, unless it is this:
        msg = "it holds NaN or an infinite number"
        raise ValueError(msg) from None
    json.checked = True


def write_state(state: BaseModel, owner: str, known: Json = None) -> Json:
    """Give a state as JSON from which it can be read again. Code may have put anything into its fields.

    Args:
        state: The state.
        owner: Whose it is, for errors.
        known: JSON that has been looked at before, and needs no look where it is the same.

    Raises:
        NotSerializable: It holds something JSON does not know, or a field holds what its annotation does not allow.
    """
    try:
        json = state_text(state)
        if isinstance(known, JsonText) and json.text == known.text:
            return known
        check_json(json)
    except (PydanticSerializationError, ValueError) as error:
        msg = f"{owner} cannot be written as JSON: {error}"
        raise NotSerializable(msg) from error
    try:
        back = read_model(type(state), json)
    except ValidationError as error:
        msg = f"{owner} does not fit {type_name(type(state))}: {sentence(faults(error))}"
        raise NotSerializable(msg) from error
    if (found := difference(state, back)) is not None:
        msg = f"{owner} would not come back as it is: {found}"
        raise NotSerializable(msg)
    return json


def state_text(state: BaseModel) -> JsonText:
    """Give a state as JSON, which nobody has looked at yet.

    Raises:
        CodecError: It holds something JSON does not know.
    """
    return JsonText.of(state.model_dump(mode="json", warnings=False, round_trip=True))


def read_model(model: type[M], json: Json) -> M:
    """Give the instance of a model that JSON stands for, as ``Form.read`` does.

    Raises:
        ValidationError: It does not fit.
    """
    return model.model_validate_json(text_of(json), by_alias=True, by_name=True)


def faults(error: ValidationError) -> Faults:
    """Give everything that a validation found, as places and sentences."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return tuple((".".join(str(part) for part in fault["loc"]), fault["msg"]) for fault in found)


def sentence(found: Faults) -> str:
    """Give faults in one line."""
    return "; ".join(f"{place}: {what}" if place else what for place, what in found)


def type_name(annotation: Any) -> str:
    """Name an annotation the way its author wrote it."""
    plain = isinstance(annotation, type) and not hasattr(annotation, "__args__")
    return str(annotation.__qualname__ if plain else annotation)


def as_score(value: object) -> Score:
    """Give what an evaluator returned as a score: ``True`` is 1.0, ``False`` 0.0.

    Raises:
        TypeError: It is no score, number or bool.
        ValueError: The number is not between 0 and 1.
    """
    if isinstance(value, Score):
        return value
    if isinstance(value, (bool, int, float)):
        return Score(float(value))
    msg = f"an evaluator returns a Score, a number from 0 to 1 or a bool, not {value!r:.200}"
    raise TypeError(msg)
