"""Conversion of events to JSON text of the journal and back, with user values inside.

As in frames (see ``greenroom.messages.codecs.codec``), types come from a closed union. Invalid bytes raise
``CodecError`` before any of them is used. Apart from frames, since workers know no events and do not import them.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from greenroom.messages.codecs.codec import check_value
from greenroom.messages.core.errors import CodecError, UnknownMessage
from greenroom.messages.core.json_scanner import OddName, check_numbers, check_written, cut, has_any, kind_of
from greenroom.messages.core.message import MARK, Event, Json, Message, MessageValues, SplicedValues, ValueField
from greenroom.messages.events.events import AnyEvent

_LONG_EVENT: Final = 64 * 1024
"""Bytes from which on an event's values are cut out, instead of being parsed and written again."""
_MARK: Final = f'"{MARK}"'.encode()

_KIND: Final = re.compile(rb'\{"at":[-+.0-9eE]+,"type":"([a-z._]+)"')
"""The beginning of an event as ``encode_event`` writes it."""


def encode_event(event: Message) -> bytes:
    """Return an event as JSON for the journal, with its values inside.

    Raises:
        CodecError: A value cannot be written as JSON.
    """
    try:
        return spliced(event)
    except (PydanticSerializationError, UnicodeEncodeError, CodecError) as error:
        msg = f"an event cannot be written as JSON: {error}"
        raise CodecError(msg) from error
    except ValueError as error:
        msg = f"an event holds a value that JSON cannot carry: {error}"
        raise CodecError(msg) from error


def spliced(message: BaseModel) -> bytes:
    """Return a model as JSON, with its user values copied in as text, without parsing them.

    Raises:
        PydanticSerializationError: A part of the model is not JSON.
        ValueError: Some readers reject an unchecked value.
    """
    values = SplicedValues()
    # The serializer of the model. That of the union has the same result at three times the cost.
    body = message.__pydantic_serializer__.to_json(message, context=values)
    check_written(body)
    if not values:
        return body
    if len(values) == 1 and values[0].checked:
        return body.replace(_MARK, values[0].text, 1)
    first, *rest = body.split(_MARK)
    assert len(rest) == len(values), "each value has left one mark, and nobody else can"
    parts = [first]
    for value, part in zip(values, rest, strict=True):
        if not value.checked:
            check_value(value)
        parts += (value.text, part)
    return b"".join(parts)


def encode_events(events: Iterable[Message]) -> list[bytes]:
    """Return the JSON of events without the last members that have their defaults. It is read as the same events.

    Raises:
        CodecError: A value cannot be written as JSON.
    """
    found: list[bytes] = []
    for event in events:
        body = encode_event(event)
        for end, start in _USUAL_ENDS[event.__class__]:
            if body.endswith(end):
                body = body[:start] + b"}"
                break
        found.append(body)
    return found


class _UsualEnds(dict[type[Message], list[tuple[bytes, int]]]):
    """How JSON of a model ends if its last members have their defaults, with the place where that starts.

    From the most of them to only one. Made for a model when it is first asked for.
    """

    def __missing__(self, model: type[Message], /) -> list[tuple[bytes, int]]:
        usual = model.model_construct()
        names: list[str] = []
        ends: list[tuple[bytes, int]] = []
        for name, field in reversed(model.model_fields.items()):
            if field.is_required() or name == "type":
                break
            names.append(name)
            end = b"," + usual.__pydantic_serializer__.to_json(usual, include=set(names))[1:]
            ends.insert(0, (end, -len(end)))
        self[model] = ends
        return ends


_USUAL_ENDS: Final = _UsualEnds()


def decode_event(body: bytes) -> AnyEvent:
    """Return the event for JSON of the journal.

    Raises:
        UnknownMessage: It is not an event of this version.
    """
    try:
        if len(body) > _LONG_EVENT:
            left, values = _cut_event(body)
            event: AnyEvent = _reader(body).validate_json(left, context=values)
        else:
            check_numbers(body)
            event = _reader(body).validate_json(body)
    except ValidationError as error:
        msg = f"an event of the journal does not fit: {error.errors(include_url=False)[0]['msg']}"
        raise UnknownMessage(msg) from error
    except ValueError as error:
        msg = f"an event of the journal is not JSON: {error}"
        raise UnknownMessage(msg) from error
    return event


def _reader(body: bytes) -> Any:
    """Return the validator for an event: that of its model, which is built when the first such event is read."""
    found = _KIND.match(body)
    model = _MODELS.get(found[1].decode()) if found else None
    return _any_event() if model is None else model.__pydantic_validator__


@cache
def _any_event() -> Any:
    """Return the validator for events of all types, which costs as much to build as those of all models."""
    return TypeAdapter(AnyEvent, config=ConfigDict(cache_strings="none")).validator  # the setting of ``Message``


def _cut_event(body: bytes) -> tuple[str | bytes, MessageValues | None]:
    """Cut the values out of a long event; see ``decode_event``."""
    text = body.decode()
    fields, tables, deeper = _places(kind_of(text))
    # Where a part of the event holds values as well, these would be taken for numbers of values that were cut out.
    if not (fields or tables) or has_any(text, deeper):
        check_numbers(body)
        return body, None
    try:
        left, values = cut(text, fields, tables)
    except OddName:
        return body, None
    check_numbers(left.encode())
    return left, MessageValues(values)


@cache
def _places(kind: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the fields of an event type that hold a value, those with values by name, and those with values deeper."""
    model = _MODELS.get(kind, Message)
    found = model.model_fields.items()
    fields = tuple(name for name, field in found if any(isinstance(each, ValueField) for each in field.metadata))
    tables = tuple(name for name, field in found if field.annotation == dict[str, Json])
    deeper = (name for name, field in found if name not in tables and _has_values(field.annotation))
    return fields, tables, tuple(deeper)


def _has_values(annotation: Any, above: frozenset[Any] = frozenset()) -> bool:
    """Return whether something of this type may hold users' values. ``above`` are the models that it is a part of."""
    if annotation == Json:
        return True
    parts = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in above:
        fields = annotation.model_fields.values()
        if any(isinstance(each, ValueField) for field in fields for each in field.metadata):
            return True
        above |= {annotation}
        parts = tuple(field.annotation for field in fields)
    return any(_has_values(part, above) for part in parts)


_MODELS: Final[dict[str, type[Event]]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(AnyEvent)[0])
}
