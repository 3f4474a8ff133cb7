"""Base classes of all messages: frozen pydantic models that forbid unknown fields."""

from secrets import token_hex
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import VERSION, BaseModel, ConfigDict, GetCoreSchemaHandler, JsonValue, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from greenroom.messages.core.json_text import JsonText, Value, as_text, plain, refuse_infinite

_DEFERRED: Final = tuple(map(int, VERSION.split(".")[:2])) >= (2, 14)
"""Whether a model's validator is built when it is first needed. Most processes need a tenth of them, and each takes a
millisecond. Older releases of pydantic may delete what another thread has just built."""


class MessageValues(list[JsonText]):
    """The values of one message, separate from it. Fields of the message hold their numbers.

    Used as the context of reading and writing messages (see ``greenroom.messages.codecs.codec``).
    """


class SplicedValues(list[JsonText]):
    """The values of one message while it is written. ``MARK`` stands in each one's place until they are inserted."""


MARK: Final = f"value {token_hex(16)}"
"""Stands in the place of a value. Random, so that no text of a message contains it."""


class _AnyValue:
    """Accepts any value except numbers that are not finite. A value that is not JSON fails when it is written."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bare = core_schema.no_info_after_validator_function(_finite, core_schema.any_schema())
        return core_schema.json_or_python_schema(
            json_schema=core_schema.nullable_schema(bare), python_schema=core_schema.any_schema()
        )


def _finite(value: Any) -> Any:
    refuse_infinite(value)
    return value


class ValueField:
    """How a field holds a user's value: as text, or as None."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.nullable_schema(
                core_schema.with_info_after_validator_function(_received, core_schema.any_schema())
            ),
            python_schema=core_schema.union_schema(
                [
                    core_schema.is_instance_schema(JsonText),  # nearly always, and without calling Python code
                    core_schema.none_schema(),
                    core_schema.no_info_plain_validator_function(as_text),
                ],
                mode="left_to_right",
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _written, info_arg=True, return_schema=core_schema.any_schema(), when_used="unless-none"
            ),
        )


def _received(value: Any, info: ValidationInfo) -> Value:
    """Return the value for a field read from JSON: the one for its number, or the field itself if values are inline."""
    values = info.context
    if not isinstance(values, MessageValues):
        return as_text(value)
    if type(value) is not int or not 0 <= value < len(values):
        msg = "a value is not where it should be"
        raise ValueError(msg)
    return values[value]


def _written(value: Value, info: core_schema.SerializationInfo) -> Any:
    values = info.context
    if not isinstance(values, (MessageValues, SplicedValues)):
        return plain(value)
    values.append(value if isinstance(value, JsonText) else JsonText.of(value))
    return MARK if type(values) is SplicedValues else len(values) - 1


Json: TypeAlias = Annotated[Value, ValueField()]
"""Any JSON value. Users' values cross processes and enter the journal only in this form.

A field accepts a Python value and holds its text, which ``plain`` parses. None is kept, and means both JSON's null and
no value. The codec detects what is not JSON."""


Shown: TypeAlias = Annotated[JsonValue, _AnyValue()]
"""A short JSON value of this package's own making, for display. Pydantic's own check of such a value calls Python for
every node; here the codec detects what is not JSON."""


class Message(BaseModel):
    """A value that crosses a process boundary or enters the journal.

    Frozen, so it can be shared between threads. Strict and closed, so bytes that do not fit raise a typed error when
    they are read. Its own numbers are finite, whatever it is a part of.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
        cache_strings="none",
        defer_build=_DEFERRED,
    )
    # Without ``cache_strings``, pydantic keeps 16,384 short texts of what it has read, in case they come again: a
    # megabyte or two of ids and keys that do not.


class Frame(Message):
    """A message between the orchestrator and a worker."""


class Event(Message):
    """A fact about one run, session or schedule, as stored in the journal."""

    at: float
    """Seconds since the Unix epoch."""
