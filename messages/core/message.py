"""The roots of every message: frozen pydantic models that forbid what they do not know."""

from secrets import token_hex
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, JsonValue, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from greenroom.messages.core.json_text import JsonText, Value, plain, refuse_infinite, sealed


class Handed(list[JsonText]):
    """The values of one message, apart from it. In the message a number says which of them stands in a field.

    The context of writing and reading messages (see ``greenroom.messages.codec``).
    """


class Spliced(list[JsonText]):
    """The values of one message while it is written: ``MARK`` stands in each one's place, until they are put there."""


MARK: Final = f"value {token_hex(16)}"
"""Stands where a value belongs. Nobody outside of this process knows it, so it is in no text of a message."""


class _Bare:
    """Takes a value as it is, but for numbers that are not finite. What is no JSON fails when it is written."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bare = core_schema.no_info_after_validator_function(_finite, core_schema.any_schema())
        return core_schema.json_or_python_schema(
            json_schema=core_schema.nullable_schema(bare), python_schema=core_schema.any_schema()
        )


def _finite(value: Any) -> Any:
    refuse_infinite(value)
    return value


class Carried:
    """How a field holds a value of a user's: as text, or as None."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.nullable_schema(
                core_schema.with_info_after_validator_function(_received, core_schema.any_schema())
            ),
            python_schema=core_schema.union_schema(
                [
                    core_schema.is_instance_schema(JsonText),  # nearly always, and no code of ours runs
                    core_schema.none_schema(),
                    core_schema.no_info_plain_validator_function(sealed),
                ],
                mode="left_to_right",
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _written, info_arg=True, return_schema=core_schema.any_schema(), when_used="unless-none"
            ),
        )


def _received(value: Any, info: ValidationInfo) -> Value:
    """Take a value out of JSON: the one that a number stands for, or a whole one where values are part of the JSON."""
    handed = info.context
    if not isinstance(handed, Handed):
        return sealed(value)
    if type(value) is not int or not 0 <= value < len(handed):
        msg = "a value is not where it should be"
        raise ValueError(msg)
    return handed[value]


def _written(value: Value, info: core_schema.SerializationInfo) -> Any:
    values = info.context
    if not isinstance(values, (Handed, Spliced)):
        return plain(value)
    values.append(value if isinstance(value, JsonText) else JsonText.of(value))
    return MARK if type(values) is Spliced else len(values) - 1


Json: TypeAlias = Annotated[Value, Carried()]
"""Any JSON value. User values cross processes and enter the journal in this form only.

A field may be given a Python value; it holds the value's text from then on, which ``plain`` reads. The exception is
None: it stays what it is, and stands for JSON's null and for no value alike. What is no JSON is found by the codec.
"""


Shown: TypeAlias = Annotated[JsonValue, _Bare()]
"""A JSON value of our own making, short and there to be shown. Pydantic's own check of such a value calls Python for
every node of it; here it is the codec that tells JSON from the rest.
"""


class Message(BaseModel):
    """A value that crosses a process boundary or enters the journal.

    Frozen, so it can be shared between threads; strict and closed, so bytes that do not fit are a typed error at the
    door and never a surprise inside.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants"
    )


class Frame(Message):
    """A message between the orchestrator and a worker. Its own numbers are finite."""

    model_config: ClassVar[ConfigDict] = ConfigDict(allow_inf_nan=False)


class Event(Message):
    """A fact about one run, session or schedule, as the journal holds it."""

    at: float
    """Seconds since the Unix epoch."""
