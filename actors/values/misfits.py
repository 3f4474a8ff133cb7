"""Says which part of a value does not fit into JSON, and what its author can hand on in its place.

It is imported only where a value was refused.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, cast

from pydantic import BaseModel

from greenroom.actors.values.round_trip import at, fields, held, prefix
from greenroom.messages.ids import is_text

_CONVERSIONS: Final = ("tolist", "to_dict")
"""Methods that give plain values in libraries of numbers and tables, the better one first."""
_COLLECTIONS: Final = (list, tuple, set, frozenset)


def unwritable(value: object, error: Exception, write: Callable[[Any], object]) -> str:
    """Return why a value cannot be written as JSON: the first part that fails in the same way, and what to do.

    Args:
        value: The whole value.
        error: What writing it raised.
        write: What writes a value without an annotation.
    """
    own = not isinstance(error, ValueError)  # it comes from a method of the part, and not from pydantic
    said = f"{type(error).__name__}: {error}" if own else str(error)
    for place, part in _leaves(value):
        if isinstance(part, str) and not is_text(part):
            return (
                f"{prefix(place)}the text {part!r:.100} holds half a surrogate pair, which JSON cannot carry; hand on "
                '`text.encode(errors="replace").decode()` in its place'
            )
        if isinstance(part, (bytes, bytearray)) and "utf-8" in said and not _is_utf_8(part):
            return (
                f"{prefix(place)}these bytes are not text in UTF-8, which is how a model writes bytes; give the model "
                '`model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")`, or a dataclass the '
                "same as `__pydantic_config__`"
            )
        if _failure(part, write) == _identity(error):
            why = f" ({said})" if own else ""
            return f"{prefix(place)}{_kind(part)} has no form in JSON{why}; {_plain(part)}"
    return said


def _is_utf_8(part: bytes | bytearray) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def endless(value: object) -> str:
    """Return where a value holds a number that JSON does not have."""
    for place, part in _leaves(value):
        if isinstance(part, float) and not math.isfinite(part):
            return f"{prefix(place)}it holds NaN or an infinite number; hand on None in its place"
    return "it holds NaN or an infinite number; hand on None in its place"


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, in order, with its place. What holds itself is gone through once."""
    waiting: list[tuple[str, Any]] = [("", value)]
    seen = set[int]()
    while waiting:
        place, part = waiting.pop()
        inner = _inner(part)
        if inner is None:
            yield place, part
        elif id(part) not in seen:
            seen.add(id(part))
            waiting += [(at(place, name), each) for name, each in reversed(inner)]


def _inner(part: Any) -> list[tuple[object, Any]] | None:
    if isinstance(part, BaseModel):
        return list(held(part).items())
    if isinstance(part, dict):
        pairs = cast("Any", part).items()
        return [pair for key, each in pairs for pair in ((f"the key {key!r:.100}", key), (key, each))]
    if isinstance(part, _COLLECTIONS):
        return list(enumerate(cast("Iterable[Any]", part)))
    found = fields(part)
    return None if found is None else list(found.items())


def _failure(part: object, write: Callable[[Any], object]) -> tuple[type[Exception], str] | None:
    try:
        write(part)
    except Exception as error:  # noqa: BLE001  it is compared with the one that is reported
        return _identity(error)
    return None


def _identity(error: Exception) -> tuple[type[Exception], str]:
    return type(error), str(error)


def _kind(part: object) -> str:
    cls = type(part)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _plain(part: object) -> str:
    for name in _CONVERSIONS:
        if callable(getattr(type(part), name, None)):
            return f"hand on plain values in its place, such as its `{name}()`"
    return "hand on what it holds, as plain values, a dataclass or a pydantic model"
