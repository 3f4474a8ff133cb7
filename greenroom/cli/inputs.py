"""What people hand to a verb as text: files, standard input, and JSON."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from typing_extensions import override


class Number(click.FloatRange):
    """A number within bounds. NaN is in no bounds, and is refused."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


def read_json(text: str, hint: str, *, files: bool = True) -> Any:
    """Return the value of an argument that is JSON.

    Args:
        text: The argument: JSON, or where ``files`` is true ``@FILE``, or ``-`` for standard input.
        hint: The argument's name, for the error.
        files: Whether the JSON may lie in a file.

    Raises:
        BadParameter: It cannot be read, or is no JSON.
    """
    if files and text == "-":
        text = _text("standard input", sys.stdin.buffer.read, hint)
    elif files and text.startswith("@"):
        text = read_file(text[1:], hint)
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"it is no JSON: {error}"
        raise click.BadParameter(msg, param_hint=hint) from error
    except RecursionError as error:
        msg = "it is nested too deep"
        raise click.BadParameter(msg, param_hint=hint) from error


def read_file(file: str, hint: str) -> str:
    """Return the text of a file.

    Raises:
        BadParameter: It cannot be read.
    """
    return _text(repr(file), Path(file).read_bytes, hint)


def _text(what: str, read: Callable[[], bytes], hint: str) -> str:
    try:
        return read().decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or str(error)
    except UnicodeDecodeError as error:
        why = f"it is no UTF-8 text, see byte {error.start + 1}"
    msg = f"{what} cannot be read: {why}"
    raise click.BadParameter(msg, param_hint=hint)


def is_utf8(text: str) -> bool:
    """Return whether an argument or path is UTF-8. Linux allows other bytes, which a journal cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
