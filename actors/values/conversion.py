"""Conversion of users' values to JSON and back, by annotation.

All arguments and results of steps cross processes and enter the journal as JSON. A ``ValueConverter`` handles the
values of one annotation. Errors name what does not fit, and where.
"""

from collections.abc import Iterable
from functools import cached_property
from inspect import isawaitable
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, ValidationInfo
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticCustomError, from_json

from greenroom.actors.values.round_trip import certain, difference, models, unfit
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable
from greenroom.messages.core.failures import first_faults
from greenroom.messages.core.json_scanner import WRAPPING, check_written
from greenroom.messages.core.json_text import JsonText, text_of
from greenroom.messages.core.message import Json, Shown
from greenroom.messages.records.evaluation import Score

M = TypeVar("M", bound=BaseModel)
Faults = tuple[tuple[str, str], ...]
"""What is wrong with a value: pairs of place and sentence."""

# All bytes survive the conversion. NaN is kept, so that it is refused later instead of becoming null.
_PLAIN: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any, config=_PLAIN)


def _json_of(value: Any, info: ValidationInfo) -> Any:
    if info.mode == "json":
        return value
    try:
        return _write_anything(value)
    except Exception as error:
        reason = "no_json"
        raise PydanticCustomError(reason, "{what}", {"what": _unwritable(value, error)}) from error


def _write_anything(value: Any) -> Any:
    return _ANYTHING.dump_python(value, mode="json", round_trip=True)


def _unwritable(value: Any, error: Exception) -> str:
    from greenroom.actors.values.misfits import unwritable  # noqa: PLC0415  most values fit

    return unwritable(value, error, _write_anything)


AnyJson: TypeAlias = Annotated[Any, BeforeValidator(_json_of)]
"""Annotation of a parameter that takes any value that has a JSON form, and holds that form: a model becomes an object.

It is for what looks at values of every type, such as a judge, and need not have them back as they were.
"""


class ValueConverter:
    """Converts values of one annotation to JSON and back. Immutable. Thread-safe.

    Args:
        annotation: Anything that pydantic understands.
        owner: What has the annotation, such as "the result of tool `search`". Named in every error.
        returns: Whether the JSON is read again as the same type, and so must give the same value.

    Raises:
        DefinitionError: pydantic cannot write the annotation as JSON, or no value of it would come back unchanged.
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
        """Whether each value must be read again after writing, to find out if it comes back unchanged."""
        self._models = models(schema) if returns else ()

    def encode(self, value: object) -> Json:
        """Return ``value`` as JSON. It may be anything that the annotation accepts, such as a tuple for a list.

        Raises:
            NotSerializable: The value does not fit the annotation, or cannot be written as JSON.
        """
        try:
            validated = self._adapter.validate_python(value)
        except ValidationError as error:
            why = f"does not fit {type_name(self.annotation)}: {sentence(faults(error))}"
            raise self._refusal(value, why) from error
        except Exception as error:  # of a method of the value, or of a validator
            why = f"could not be read as {type_name(self.annotation)}: {type(error).__name__}: {error}"
            raise self._refusal(value, why) from error
        return self.dump(validated)

    def dump(self, value: object) -> Json:
        """Return a validated value as JSON.

        Raises:
            NotSerializable: The value cannot be written as JSON.
        """
        try:
            json = JsonText.of(self._adapter.dump_python(value, mode="json", warnings="error", round_trip=True))
            check_json(json, value)
        except Exception as error:  # of pydantic, or of a method of the value
            why = f"cannot be written as JSON: {_unwritable(value, error)}"
            raise self._refusal(value, why) from error
        if self._doubtful or (self._models and any(model.__subclasses__() for model in self._models)):
            self._check_returns(value, json)
        return json

    def _refusal(self, value: object, why: str) -> NotSerializable:
        """Return the error for a value that was refused. What lacks an ``await`` is told as that."""
        if isawaitable(value):
            why = "is a call that was not awaited, and no value: write `await` before the call"
        elif isinstance(value, (list, tuple, set)) and any(map(isawaitable, cast("Iterable[object]", value))):
            why = "holds calls that were not awaited, and no values: write `await` before each call"
        return NotSerializable(f"{self.owner} {why}")

    def _check_returns(self, value: object, json: JsonText) -> None:
        """Raise if a value would not come back unchanged.

        Raises:
            NotSerializable: The value would come back as another one, or not at all.
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
        """Return a Python value as validated by the annotation.

        Raises:
            ValidationError: The value does not fit.
        """
        return self._adapter.validate_python(value)

    def read(self, json: Json, *, strict: bool | None = None) -> Any:
        """Return the value for ``json``, by the rules for JSON: a string may be a date, a list a set.

        Raises:
            ValidationError: The JSON does not fit.
        """
        return self.read_text(text_of(json), strict=strict)

    def read_text(self, text: str | bytes, *, strict: bool | None = None) -> Any:
        """Return the value for a JSON text.

        Fields may have their aliases, as people and services write them, or their names, as ``dump`` writes them.

        Raises:
            ValidationError: The text does not fit, or is not JSON.
        """
        return self._adapter.validate_json(text, strict=strict, by_alias=True, by_name=True)

    def decode(self, json: Json) -> Any:
        """Return the value for ``json``.

        Raises:
            InvalidInput: The JSON does not fit; every wrong place is named.
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
            return TypeAdapter(annotation)  # models and dataclasses have a config of their own
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
        msg = (
            f"{owner} is annotated with {type_name(annotation)}, for which pydantic knows no JSON: use a pydantic "
            f"model, a dataclass or a built-in type ({str(error).splitlines()[0]})"
        )
        raise DefinitionError(msg) from error


def check_json(json: JsonText, value: object) -> None:
    """Raise for JSON that Python writes and some readers reject.

    Args:
        json: The text.
        value: What it was written from, so that the error can name the place.

    Raises:
        ValueError: NaN, an infinite number, half a surrogate pair, thousands of digits, or nesting too deep for
            readers.
    """
    try:
        check_written(json.text)
    except ValueError:
        from_json(b"[" * WRAPPING + json.text + b"]" * WRAPPING)  # raises, and says what it is, unless it is this:
        from greenroom.actors.values.misfits import endless  # noqa: PLC0415  most values fit

        raise ValueError(endless(value)) from None
    json.checked = True


def write_state(state: BaseModel, owner: str, known: Json = None) -> Json:
    """Return a state as JSON from which it can be read again. User code may have put anything into its fields.

    Args:
        state: The state.
        owner: Name of the state's owner, for errors.
        known: JSON that was checked before, and is not checked again if it is the same.

    Raises:
        NotSerializable: A field cannot be written as JSON, or does not fit its annotation.
    """
    try:
        json = state_text(state)
        if isinstance(known, JsonText) and json.text == known.text:
            return known
        check_json(json, state)
    except Exception as error:
        msg = f"{owner} cannot be written as JSON: {_unwritable(state, error)}"
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
    """Return a state as JSON, without any check.

    Raises:
        CodecError: A field cannot be written as JSON.
    """
    return JsonText.of(state.model_dump(mode="json", warnings=False, round_trip=True))


def read_model(model: type[M], json: Json) -> M:
    """Return the instance of a model for JSON, by the rules of ``ValueConverter.read``.

    Raises:
        ValidationError: The JSON does not fit.
    """
    return model.model_validate_json(text_of(json), by_alias=True, by_name=True)


def faults(error: ValidationError) -> Faults:
    """Return the faults that a validation found, as places and sentences; see ``first_faults``."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return first_faults([(".".join(str(part) for part in fault["loc"]), fault["msg"]) for fault in found])


def sentence(found: Faults) -> str:
    """Return faults in one line."""
    return "; ".join(f"{place}: {what}" if place else what for place, what in found)


def type_name(annotation: Any) -> str:
    """Return an annotation as its author wrote it."""
    if annotation is AnyJson:
        return "JSON"
    plain = isinstance(annotation, type) and not hasattr(annotation, "__args__")
    return str(annotation.__qualname__ if plain else annotation)


def as_score(value: object) -> Score:
    """Return an evaluator's result as a score: ``True`` is 1.0, ``False`` is 0.0.

    Raises:
        TypeError: It is not a score, number or bool.
        ValueError: The number is not between 0 and 1.
    """
    if isinstance(value, Score):
        return value
    if isinstance(value, (bool, int, float)):
        return Score(float(value))
    msg = f"an evaluator returns a Score, a number from 0 to 1 or a bool, not {value!r:.200}"
    raise TypeError(msg)
