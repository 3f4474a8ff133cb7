"""JSON values as text that nobody has read: how the values of users pass through the orchestrator.

A value in Python is ten to a hundred times as large as its text, and making it holds the interpreter for as long. So
whoever only hands a value on, and that is everybody between the worker that wrote it and the one that reads it, keeps
the text. A message's fields for such values are annotated with ``Json`` (see ``greenroom.messages.core.message``).
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
"""Most bytes of texts that are read to be compared."""

T = TypeVar("T")


class JsonText:
    """One JSON value, as text. Immutable; any thread and process.

    It is equal to another of the same text, to a short one that stands for an equal value, and to a Python value that
    is equal to what it stands for.

    Attributes:
        text: The value in UTF-8.
        checked: Whether somebody in this process has made sure that it is JSON that every reader takes.
    """

    __slots__ = ("checked", "text")
    __hash__ = None  # type: ignore[assignment] # it may stand for a list

    def __init__(self, text: bytes, *, checked: bool = False) -> None:
        """Take the text as it is."""
        self.text = text
        self.checked = checked

    @classmethod
    def of(cls, value: JsonValue) -> "JsonText":
        """Write a value.

        Raises:
            CodecError: It holds something that JSON does not know.
        """
        return cls(_write(value))

    @classmethod
    def of_items(cls, values: "Iterable[Value]") -> "JsonText":
        """Write an array of values, which are not read for it.

        Raises:
            CodecError: One holds something that JSON does not know.
        """
        return cls(b"[" + b",".join([text_of(value) for value in values]) + b"]")

    @classmethod
    def of_members(cls, values: "Mapping[str, Value]") -> "JsonText":
        """Write an object of values, which are not read for it.

        Raises:
            CodecError: One holds something that JSON does not know.
        """
        return cls(b"{" + b",".join([to_json(name) + b":" + text_of(value) for name, value in values.items()]) + b"}")

    def read(self) -> JsonValue:
        """Give the value. It may take a hundred times as much memory as the text."""
        return cast("JsonValue", from_json(self.text))

    def __eq__(self, other: object) -> bool:
        """Compare texts, or the value with one that has been read."""
        if isinstance(other, JsonText):
            short = max(len(self.text), len(other.text)) <= _SHORT
            return self.text == other.text or (short and self.read() == other.read())
        return bool(self.read() == other)

    def __len__(self) -> int:
        """Give the length of the text in bytes."""
        return len(self.text)

    def __bool__(self) -> bool:
        """Say yes: there is a value, whatever it is."""
        return True

    def __repr__(self) -> str:
        """Show the beginning of the text."""
        shown = self.text[:_SHOWN].decode(errors="replace")
        return f"JsonText({shown}{'...' if len(self.text) > _SHOWN else ''})"


Value: TypeAlias = JsonValue | JsonText
"""A JSON value, read or not."""


def plain(value: Value) -> JsonValue:
    """Give a value read. For the edges: workers, and processes of those who want to see it."""
    return value.read() if isinstance(value, JsonText) else value


def text_of(value: Value) -> bytes:
    """Give a value's text.

    Raises:
        CodecError: It holds something that JSON does not know.
    """
    return value.text if isinstance(value, JsonText) else _write(value)


def _write(value: JsonValue) -> bytes:
    try:
        return to_json(value, inf_nan_mode="constants")
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        msg = f"a value cannot be written as JSON: {error}"
        raise CodecError(msg) from error


def refuse_infinite(value: object) -> bytes:
    """Write a value that has been read; refuse one with a number such as ``1e999``, which became infinite then.

    Raises:
        ValueError: It does.
    """
    written = to_json(value, inf_nan_mode="constants")
    if b"Infinity" in written:  # in a text or a number: the slow look tells
        dumps(value, allow_nan=False)
    return written


def sealed(value: Value) -> Value:
    """Give a value as text; None, which stands for no value as well, and what is no JSON, as it is."""
    if value is None or isinstance(value, JsonText):
        return value
    try:
        return JsonText.of(value)
    except CodecError:
        return value


def shown(message: T) -> T:
    """Give a message, or a list, tuple or dict of some, with every value in it read, as its reader expects it."""
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
