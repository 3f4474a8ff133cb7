"""JSON values as unparsed text, which is how users' values pass through the orchestrator.

A value in Python is ten to a hundred times as large as its text, and parsing blocks the interpreter for as long. So all
code between the worker that wrote a value and the one that reads it keeps the text. A message's fields for such values
have the type ``Json`` (see ``greenroom.messages.core.message``).
"""

from collections.abc import Iterable, Mapping
from json import dumps
from typing import Final, TypeAlias, TypeVar, cast

from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticSerializationError, from_json, to_json

from greenroom.messages.core.errors import CodecError

_SHOWN: Final = 200
"""Bytes of a text that its ``repr`` shows."""
_SHORT: Final = 64 * 1024
"""Longest texts that are parsed for a comparison, in bytes."""

T = TypeVar("T")


class JsonText:
    """A JSON value, as text. Immutable. Thread-safe.

    It equals another one with the same text, a short one with an equal value, and a Python value that equals its value.

    Attributes:
        text: The value in UTF-8.
        checked: Whether this process has checked that it is JSON that every reader accepts.
    """

    __slots__ = ("checked", "text")
    __hash__ = None  # type: ignore[assignment] # it may stand for a list

    def __init__(self, text: bytes, *, checked: bool = False) -> None:
        """Store the text unchanged."""
        self.text = text
        self.checked = checked

    @classmethod
    def of(cls, value: JsonValue) -> "JsonText":
        """Return a value as JSON text.

        Raises:
            CodecError: The value cannot be written as JSON.
        """
        return cls(_write(value))

    @classmethod
    def of_items(cls, values: "Iterable[Value]") -> "JsonText":
        """Return an array of values, without parsing them.

        Raises:
            CodecError: A value cannot be written as JSON.
        """
        return cls(b"[" + b",".join([text_of(value) for value in values]) + b"]")

    @classmethod
    def of_members(cls, values: "Mapping[str, Value]") -> "JsonText":
        """Return an object of values, without parsing them.

        Raises:
            CodecError: A value cannot be written as JSON.
        """
        return cls(b"{" + b",".join([to_json(name) + b":" + text_of(value) for name, value in values.items()]) + b"}")

    def read(self) -> JsonValue:
        """Return the parsed value. It may take a hundred times as much memory as the text."""
        return cast("JsonValue", from_json(self.text))

    def __eq__(self, other: object) -> bool:
        """Compare texts, or compare the value with a parsed one."""
        if isinstance(other, JsonText):
            short = max(len(self.text), len(other.text)) <= _SHORT
            return self.text == other.text or (short and self.read() == other.read())
        return bool(self.read() == other)

    def __len__(self) -> int:
        """Return the length of the text in bytes."""
        return len(self.text)

    def __bool__(self) -> bool:
        """Return True: there is a value, even if it is false."""
        return True

    def __repr__(self) -> str:
        """Return the beginning of the text."""
        shown = self.text[:_SHOWN].decode(errors="replace")
        return f"JsonText({shown}{'...' if len(self.text) > _SHOWN else ''})"


Value: TypeAlias = JsonValue | JsonText
"""A JSON value, parsed or not."""


def plain(value: Value) -> JsonValue:
    """Return a parsed value. For workers, and for processes that show values."""
    return value.read() if isinstance(value, JsonText) else value


def text_of(value: Value) -> bytes:
    """Return a value's text.

    Raises:
        CodecError: The value cannot be written as JSON.
    """
    return value.text if isinstance(value, JsonText) else _write(value)


def _write(value: JsonValue) -> bytes:
    try:
        return to_json(value, inf_nan_mode="constants")
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        msg = f"a value cannot be written as JSON: {error}"
        raise CodecError(msg) from error


def refuse_infinite(value: object) -> bytes:
    """Return the text of a parsed value. Raise for numbers such as ``1e999``, which became infinite when parsed.

    Raises:
        ValueError: The value holds such a number.
    """
    written = to_json(value, inf_nan_mode="constants")
    # A text of a megabyte is searched for a millisecond, and is not a number.
    if value.__class__ is not str and b"Infinity" in written:  # in a text or a number: the slow check decides
        dumps(value, allow_nan=False)
    return written


def as_text(value: Value) -> Value:
    """Return a value as text. None, which also means no value, and what is not JSON are returned unchanged."""
    if value is None or isinstance(value, JsonText):
        return value
    try:
        return JsonText.of(value)
    except CodecError:
        return value


def shown(message: T) -> T:
    """Return messages with all their values parsed, as their reader expects. Accepts one, or a list, tuple or dict."""
    return cast("T", _shown(message))


def _shown(value: object) -> object:
    match value:
        case JsonText():
            return value.read()
        case BaseModel():
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            read = {name: _shown(field) for name, field in fields.items()}
            changed = {name: field for name, field in read.items() if field is not fields[name]}
            return value.model_copy(update=changed) if changed else value
        case tuple() | list() if any(isinstance(each, (BaseModel, JsonText)) for each in value):  # pyright: ignore[reportUnknownVariableType]
            return type(value)(_shown(each) for each in value)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        case dict() if any(isinstance(each, (BaseModel, JsonText)) for each in value.values()):  # pyright: ignore[reportUnknownVariableType]
            return {name: _shown(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        case _:
            return value
