"""Equality of JSON values: of a run's arguments, a message, or an input."""

from collections.abc import Mapping
from typing import TypeAlias

from greenroom.messages.core.json_text import JsonText, Value

Comparable: TypeAlias = Value | Mapping[str, Value]


def same(a: Comparable, b: Comparable) -> bool:
    """Return whether two values are equal as JSON.

    The order of an object's members does not count. Numbers are compared by value, so 1 equals 1.0; ``true`` is not a
    number. Strings are compared character by character, without Unicode normalization.
    """
    if isinstance(a, JsonText) and isinstance(b, JsonText) and a.text == b.text:
        return True
    a = a.read() if isinstance(a, JsonText) else a
    b = b.read() if isinstance(b, JsonText) else b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b
