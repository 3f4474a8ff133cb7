"""Looking through JSON text without making a value of it: whether every reader takes it, and cutting parts out of it.

Texts that are short are simply read, which takes microseconds. Long ones are given to SQLite, which reads 75 MB/s and
keeps hardly more than the text; what it does not look at, regular expressions do.
"""

import re
import threading
from typing import Any, Final

from pydantic_core import from_json

from greenroom.messages.core.json_text import JsonText, refuse_infinite

WRAPPING: Final = 20
"""Levels that messages and events may add to those of a value. Readers stop at 200."""
_SHORT_BYTES: Final = 16 * 1024
"""Longest text that is read to see whether it can be."""
_PLAIN_BYTES: Final = 4000
"""A text no longer than this cannot hold a number that is too long to be read."""
_SHALLOW: Final = 150
"""A text with no more brackets than this cannot be too deep."""
_DEEPEST_OF_SQLITE: Final = 1000
_DEEPEST: Final = 200
_DIGITS: Final = 4300
"""More digits than this Python does not read as one number."""
_KINDS: Final = {**dict.fromkeys(b"0123456789", "0"), **dict.fromkeys(b"eE", "e"), ord("+"): "+"}
_OUTLINE: Final = bytes(ord(_KINDS.get(byte, "\0")) for byte in range(256))
"""Turns a text into where its digits and exponents are."""
_MANY_DIGITS: Final = b"0" * 200
"""In an outline. A number of fewer digits than this, and with an exponent of two digits, is finite."""
_NEARLY_INFINITE: Final = 100_000
"""Most numbers of a long text that are looked at one by one. Data does not have as many that are so large."""

_HARMLESS: Final = re.compile(
    rb'(?:[^"0-9]{1,4096}+|"(?:[^"\\]{1,64}+|\\.){0,256}+"|[0-9](?:\.[0-9]++)?+[eE]\+?(?:[12][0-9][0-9]|30[0-7])(?![0-9])'
    rb"|[0-9]{1,250}+(?:\.[0-9]++)?+(?:[eE]-[0-9]++|[eE]\+?[0-9]{1,2}+)?+(?![0-9.eE])){1,64}+"
)
"""A piece of what consists of texts, numbers that are finite at a glance, and what stands between them.

No other thread runs while a match goes on. So what is matched at once has about a megabyte at most.
"""
_INSIDE: Final = re.compile(rb'(?:[^"\\]{1,64}+|\\.){1,16384}+')
"""A piece of what is between the quotes of a text."""
_NUMBER: Final = re.compile(rb"[0-9.]+(?:[eE][+-]?[0-9]+)?")
_WHOLE_ESCAPES: Final = re.compile(
    rb"(?:[^\\]{1,4096}+|\\[^u]|\\u(?:[0-9a-cA-CeEfF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    rb"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})){1,256}+"
)
"""A piece of a text in which no half of a surrogate pair stands alone."""

_database = threading.local()


def check_written(text: bytes) -> None:
    """Refuse to let out what could not be read again: NaN, infinities, 4,301 digits, too many levels.

    A value that can be written and not read would make a run's journal unreadable for ever. Most texts are too short
    to hold any of it, and are seen to in a microsecond.

    Raises:
        ValueError: ``text``, which a writer of JSON has made, holds such a value.
    """
    size = len(text)
    deep = size > _SHALLOW and text.count(b"[") + text.count(b"{") > _SHALLOW
    if deep or size > _PLAIN_BYTES or b"NaN" in text or b"Infinity" in text:
        normal(text)


def normal(text: bytes) -> bytes:
    """Give text that came from elsewhere as this package would have written it; where it is long, as it is.

    Raises:
        ValueError: It is no JSON, is no UTF-8, is too deep, or holds numbers that are not finite or too long.
    """
    if len(text) > _SHORT_BYTES:
        _scan(text)
        return text
    value = from_json(text, allow_inf_nan=False)
    if len(text) > _SHALLOW and text.count(b"[") + text.count(b"{") > _SHALLOW:
        from_json(b"[" * WRAPPING + text + b"]" * WRAPPING)
    return refuse_infinite(value)


def check_numbers(text: bytes) -> None:
    """Refuse numbers that are not finite, which JSON does not know and pydantic reads all the same.

    Raises:
        ValueError: ``text`` spells one out, or holds one such as ``1e999`` that only becomes infinite when read.
    """
    if b"NaN" in text or b"Infinity" in text or not plain_numbers(text):
        refuse_infinite(from_json(text, allow_inf_nan=False))


def plain_numbers(text: bytes) -> bool:
    """Say whether no number in a text can be infinite, as far as a glance tells."""
    outline = text.translate(_OUTLINE)
    if b"e000" in outline or b"e+000" in outline:
        return False
    return len(text) < len(_MANY_DIGITS) or _MANY_DIGITS not in outline


def _scan(text: bytes) -> None:
    """See ``normal``, for long texts."""
    levels = _DEEPEST_OF_SQLITE - _DEEPEST + WRAPPING
    string = text.decode()
    # The second alone would take what closes a bracket and opens another.
    if not _ask("SELECT json_valid(?1) AND json_valid(?2 || ?1 || ?3)", string, "[" * levels, "]" * levels)[0]:
        msg = "it is no JSON, or nested too deeply"
        raise ValueError(msg)
    if not plain_numbers(text):
        _check_numbers(text)
    if b"\\u" in text and _pass(_WHOLE_ESCAPES, text, 0) < len(text):
        msg = "half a surrogate pair stands alone in it"
        raise ValueError(msg)


def _pass(pattern: re.Pattern[bytes], text: bytes, place: int) -> int:
    """Match a pattern from a place on as often as it does, and say where that ends."""
    while found := pattern.match(text, place):
        place = found.end()
    return place


def _check_numbers(text: bytes) -> None:
    place = 0
    for _ in range(_NEARLY_INFINITE):
        place = _pass(_HARMLESS, text, place)
        while text.startswith(b'"', place):  # a text that is too long to be matched whole
            place = _pass(_HARMLESS, text, _pass(_INSIDE, text, place + 1) + 1)
        if place == len(text):
            return
        number = _NUMBER.match(text, place)
        assert number is not None, "whatever is harmless is passed over, and SQLite has seen that the rest is JSON"
        if number.group().isdigit():
            if len(number.group()) > _DIGITS:
                msg = f"a number in it has more than {_DIGITS} digits"
                raise ValueError(msg)
        elif float(number.group()) == float("inf"):
            msg = "a number in it is not finite"
            raise ValueError(msg)
        place = number.end()
    msg = "it holds too many numbers that are nearly infinite"
    raise ValueError(msg)


class OddName(ValueError):  # noqa: N818  reads like a fact
    """A value stands under a name by which SQLite does not find it."""


def kind_of(body: str) -> str:
    """Give the ``type`` that a JSON object has, empty where it is no text, or the object no object.

    Raises:
        ValueError: It is no JSON.
    """
    kind = _ask("SELECT ?1 ->> '$.type'", body)[0]
    return kind if isinstance(kind, str) else ""


def cut(body: str, fields: tuple[str, ...], tables: tuple[str, ...]) -> tuple[str, list[JsonText]]:
    """Cut values out of a JSON object, and leave numbers in their places, counted from 0.

    Args:
        body: The object.
        fields: Names of members, each of which is cut out whole; null stays.
        tables: Names of members that are objects, whose members are cut out one by one.

    Returns:
        What is left, and what the numbers stand for.

    Raises:
        OddName: A table has a member whose name is no identifier.
        ValueError: The body is no JSON.
    """
    paths = [f"$.{field}" for field in fields]
    for table in tables:
        names = from_json(str(_ask("SELECT json_group_array(key) FROM json_each(?, ?)", body, f"$.{table}")[0]))
        if not all(name.isidentifier() for name in names):
            raise OddName(table)
        paths += [f'$.{table}."{name}"' for name in names]
    numbers = "".join(
        f", ?{place}, iif(json_type(?1, ?{place}) = 'null', NULL, {place - 2})" for place, _ in enumerate(paths, 2)
    )
    texts = "".join(f", ?1 -> ?{place}" for place, _ in enumerate(paths, 2))
    left, *found = _ask(f"SELECT json_replace(?1{numbers}){texts}", body, *paths)
    return str(left), [JsonText(str(text).encode(), checked=True) for text in found]


def _ask(query: str, *values: str) -> tuple[Any, ...]:
    """Have SQLite answer a question about texts, in a connection of this thread's own, without any file.

    Raises:
        ValueError: A text is no JSON.
    """
    import apsw  # noqa: PLC0415  only long texts need it, and few processes see one

    if not hasattr(_database, "connection"):
        _database.connection = apsw.Connection(":memory:")
    connection: Any = _database.connection
    try:
        return tuple(next(connection.execute(query, values)))
    except apsw.Error as error:
        msg = f"it is no JSON: {error}"
        raise ValueError(msg) from error
