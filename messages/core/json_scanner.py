"""Scanning of JSON text without building a value: checks that every reader accepts it, and cuts parts out of it.

Short texts, and longer ones of few parts, are simply parsed, which takes microseconds to milliseconds. Others are
given to SQLite, which reads 75 MB/s and needs hardly more memory than the text. Regular expressions check what SQLite
does not.
"""

import re
import threading
from typing import Any, Final

from pydantic_core import from_json

from greenroom.messages.core.json_text import JsonText, refuse_infinite

WRAPPING: Final = 20
"""Levels of nesting that messages and events may add to a value. Readers stop at 200."""
_SHORT_BYTES: Final = 16 * 1024
"""Longest text that is parsed to check it, whatever it holds."""
_PARSED_BYTES: Final = 4 * 1024 * 1024
"""Longest text that is ever parsed to check it: no other thread runs meanwhile, for a millisecond per megabyte."""
_BYTES_PER_PART: Final = 32
"""A text whose parts are longer than this on average is parsed faster than SQLite reads it, into little memory."""
_PLAIN_BYTES: Final = 4000
"""A text that is no longer cannot hold a number that is too long to be read."""
_SHALLOW: Final = 150
"""A text with no more brackets cannot be nested too deeply."""
_DEEPEST_OF_SQLITE: Final = 1000
_DEEPEST: Final = 200
_DIGITS: Final = 4300
"""Python refuses numbers with more digits."""
_KINDS: Final = {**dict.fromkeys(b"0123456789", "0"), **dict.fromkeys(b"eE", "e"), ord("+"): "+"}
_OUTLINE: Final = bytes(ord(_KINDS.get(byte, "\0")) for byte in range(256))
"""Translation table: digits become 0, the ``e`` and ``+`` of exponents stay, and every other byte becomes NUL."""
_MANY_DIGITS: Final = b"0" * 200
"""In an outline. A number with fewer digits, and an exponent of at most two digits, is finite."""
_NEARLY_INFINITE: Final = 100_000
"""Most numbers of a long text that are checked one by one. Real data does not hold so many that are that large."""

_HARMLESS: Final = re.compile(
    rb'(?:[^"0-9]{1,4096}+|"(?:[^"\\]{1,64}+|\\.){0,256}+"|[0-9](?:\.[0-9]++)?+[eE]\+?(?:[12][0-9][0-9]|30[0-7])(?![0-9])'
    rb"|[0-9]{1,250}+(?:\.[0-9]++)?+(?:[eE]-[0-9]++|[eE]\+?[0-9]{1,2}+)?+(?![0-9.eE])){1,64}+"
)
"""A stretch of texts, numbers that are clearly finite, and what stands between them.

No other thread runs during a match. So at most about a megabyte is matched at once."""
_INSIDE: Final = re.compile(rb'(?:[^"\\]{1,64}+|\\.){1,16384}+')
"""A stretch inside the quotes of a text."""
_NUMBER: Final = re.compile(rb"[0-9.]+(?:[eE][+-]?[0-9]+)?")
_WHOLE_ESCAPES: Final = re.compile(
    rb"(?:[^\\]{1,4096}+|\\[^u]|\\u(?:[0-9a-cA-CeEfF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    rb"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})){1,256}+"
)
"""A stretch of a text in which no half of a surrogate pair stands alone."""

_database = threading.local()


def check_written(text: bytes) -> None:
    """Raise for JSON that could not be read again: NaN, infinities, 4,301 digits, too many levels.

    A value that can be written and not read would make a run's journal unreadable forever. A text is read in full only
    where that is cheap, or a quick look does not rule all of these out. Receivers check texts themselves, see
    ``normal``.

    Raises:
        ValueError: ``text``, written by a JSON writer, holds such a value.
    """
    size = len(text)
    brackets = 0
    if size > 2 * _SHALLOW:  # each one is closed again; to find none is thirty times as fast as to count none
        brackets = (b"[" in text and text.count(b"[")) + (b"{" in text and text.count(b"{"))
    if size > _SHORT_BYTES and _is_parsed(text, brackets):
        from_json(text, allow_inf_nan=False)
        if brackets > _SHALLOW:
            _check_levels(text)
        return
    unread = brackets > _SHALLOW or b"NaN" in text or b"Infinity" in text
    if unread or (size > _PLAIN_BYTES and not plain_numbers(text)):
        normal(text)


def normal(text: bytes) -> bytes:
    """Return JSON text from outside as this package would have written it. Long texts of many parts stay unchanged.

    Raises:
        ValueError: The text is not JSON or not UTF-8, is too deep, or holds numbers that are not finite or too long.
    """
    size = len(text)
    brackets = 0
    if size > 2 * _SHALLOW:
        brackets = (b"[" in text and text.count(b"[")) + (b"{" in text and text.count(b"{"))
    if size > _SHORT_BYTES and not _is_parsed(text, brackets):
        _scan(text)
        return text
    value = from_json(text, allow_inf_nan=False)
    if brackets > _SHALLOW:
        _check_levels(text)
    return refuse_infinite(value)


def _is_parsed(text: bytes, brackets: int) -> bool:
    """Return whether parsing a long text is the cheaper way to check it. ``brackets`` is the number of opening ones."""
    size = len(text)
    return size <= _PARSED_BYTES and _BYTES_PER_PART * ((b"," in text and text.count(b",")) + brackets) < size


def _check_levels(text: bytes) -> None:
    """Raise for JSON that is nested too deeply to be put into a message."""
    from_json(b"[" * WRAPPING + text + b"]" * WRAPPING)


def check_numbers(text: bytes) -> None:
    """Raise for numbers that are not finite. JSON does not have them, but pydantic reads them.

    Raises:
        ValueError: ``text`` names one, or holds one such as ``1e999``, which becomes infinite when read.
    """
    if b"NaN" in text or b"Infinity" in text or not plain_numbers(text):
        refuse_infinite(from_json(text, allow_inf_nan=False))


def plain_numbers(text: bytes) -> bool:
    """Return whether a quick check shows that no number in a text can be infinite."""
    outline = text.translate(_OUTLINE)
    if b"e000" in outline or b"e+000" in outline:
        return False
    return len(text) < len(_MANY_DIGITS) or _MANY_DIGITS not in outline


def _scan(text: bytes) -> None:
    """See ``normal``, for long texts."""
    levels = _DEEPEST_OF_SQLITE - _DEEPEST + WRAPPING
    string = text.decode()
    # The second check alone would accept a text that closes a bracket and opens another one.
    if not _ask("SELECT json_valid(?1) AND json_valid(?2 || ?1 || ?3)", string, "[" * levels, "]" * levels)[0]:
        msg = "it is not JSON, or nested too deeply"
        raise ValueError(msg)
    if not plain_numbers(text):
        _check_numbers(text)
    if b"\\u" in text and _pass(_WHOLE_ESCAPES, text, 0) < len(text):
        msg = "half a surrogate pair stands alone in it"
        raise ValueError(msg)


def _pass(pattern: re.Pattern[bytes], text: bytes, place: int) -> int:
    """Match a pattern repeatedly from a position. Return where the matches end."""
    while found := pattern.match(text, place):
        place = found.end()
    return place


def _check_numbers(text: bytes) -> None:
    place = 0
    for _ in range(_NEARLY_INFINITE):
        place = _pass(_HARMLESS, text, place)
        while text.startswith(b'"', place):  # the text is too long to be matched at once
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


class OddName(ValueError):  # noqa: N818  it reads as a fact
    """A member's name is such that SQLite does not find it."""


def kind_of(body: str) -> str:
    """Return the ``type`` of a JSON object; empty if it is not text, or if the JSON is not an object.

    Raises:
        ValueError: The text is not JSON.
    """
    kind = _ask("SELECT ?1 ->> '$.type'", body)[0]
    return kind if isinstance(kind, str) else ""


def has_any(body: str, names: tuple[str, ...]) -> bool:
    """Return whether a JSON object has one of these members, other than null and an empty list."""
    has = " OR ".join(f"ifnull(?1 ->> ?{place}, '[]') <> '[]'" for place, _ in enumerate(names, 2))
    return bool(names) and bool(_ask(f"SELECT {has}", body, *(f"$.{name}" for name in names))[0])


def cut(body: str, fields: tuple[str, ...], tables: tuple[str, ...]) -> tuple[str, list[JsonText]]:
    """Cut values out of a JSON object. Numbers, counted from 0, take their places.

    Args:
        body: The object.
        fields: Names of members whose values are cut out as a whole, except null.
        tables: Names of members that are objects, whose members are cut out one by one.

    Returns:
        The rest of the object, and the values that the numbers stand for.

    Raises:
        OddName: A table has a member whose name is not an identifier.
        ValueError: The body is not JSON.
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
    """Run a query about texts in SQLite, in this thread's own connection, without any file.

    Raises:
        ValueError: A text is not JSON.
    """
    import apsw  # noqa: PLC0415  needed only for long texts, which few processes receive

    if not hasattr(_database, "connection"):
        _database.connection = apsw.Connection(":memory:")
    connection: Any = _database.connection
    try:
        return tuple(next(connection.execute(query, values)))
    except apsw.Error as error:
        msg = f"it is not JSON: {error}"
        raise ValueError(msg) from error
