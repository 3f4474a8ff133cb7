"""What people hand to a verb as text: files, standard input, and JSON."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from typing_extensions import override

MOST_BYTES: Final = 256 * 1024 * 1024
"""Longest file that is read, so that a device or a pipe without end does not fill the memory."""


class Number(click.FloatRange):
    """A number within bounds. NaN is in no bounds, and is refused."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def read_json(text: str, hint: str, *, files: bool = True) -> Any:
    """Return the value of an argument that is JSON.

    Args:
        text: The argument: JSON, or where ``files`` is true ``@FILE``, or ``-`` for standard input.
        hint: The argument's name, for the error.
        files: Whether the JSON may lie in a file.

    Raises:
        BadParameter: It cannot be read, or is not JSON.
    """
    if files and text == "-":
        text = _text("standard input", lambda: sys.stdin.buffer.read(MOST_BYTES + 1), hint)
    elif files and text.startswith("@"):
        text = read_file(text[1:], hint)
    try:
        return parse_json(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=hint) from error


def parse_json(text: str) -> Any:
    """Return the value of a JSON text that a journal can hold.

    Raises:
        ValueError: It is not JSON, or holds what a journal cannot: a number that is not finite, half a surrogate pair,
            or too many levels. The message says which.
    """
    from greenroom.messages.core.json_scanner import normal

    try:
        value = json.loads(text)
    except ValueError as error:
        msg = f"it is not JSON: {error}"
        raise ValueError(msg) from None
    except RecursionError:
        msg = "it is nested too deep"
        raise ValueError(msg) from None
    try:
        normal(text.encode())
    except ValueError as error:
        msg = f"it holds what JSON does not: {error}"
        raise ValueError(msg) from None
    return value


def read_file(file: str, hint: str) -> str:
    """Return the text of a file.

    Raises:
        BadParameter: It cannot be read.
    """

    def read() -> bytes:
        with Path(file).open("rb") as stream:
            return stream.read(MOST_BYTES + 1)

    return _text(repr(file), read, hint)


def _text(what: str, read: Callable[[], bytes], hint: str) -> str:
    try:
        data = read()
        if len(data) <= MOST_BYTES:
            return data.decode("utf-8-sig")
        why = f"it holds more than {MOST_BYTES >> 20} MiB"
    except OSError as error:
        why = error.strerror or str(error)
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 text, see byte {error.start + 1}"
    msg = f"{what} cannot be read: {why}"
    raise click.BadParameter(msg, param_hint=hint)


def is_utf8(text: str) -> bool:
    """Return whether an argument or path is UTF-8. Linux allows other bytes, which a journal cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
