"""How answers are shown: JSON for programs, tables for people on a terminal, plain aligned lines in a pipe.

Everything that the command line writes goes through here. Names, results, errors and output of tools are text of
others: what a terminal would obey in it is shown instead, an escape character as the four signs of its number.
"""

import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from greenroom.cli.settings import typed

if TYPE_CHECKING:
    from rich.console import Console

    from greenroom.workflows.home.home import Home
    from greenroom.workflows.queries.reader import JournalQueries

SIXTY = 60
STATUS_STYLE = {
    "completed": "green",
    "ok": "green",
    "idle": "green",
    "failed": "red",
    "crash": "red",
    "error": "red",
    "timeout": "red",
    "parked": "yellow",
    "waiting": "yellow",
    "retrying": "yellow",
    "escalated": "yellow",
    "cancelled": "dim",
    "running": "cyan",
    "busy": "cyan",
}


_told_program: list[str] = []
"""How the program is called here, once that was said."""


def _typed(text: str) -> str:
    """Give a text whose commands can be typed where it is read; in a checkout, say how the program is called there."""
    from greenroom.messages.advice import advises

    if not advises(text):
        return text
    _say_program()
    try:
        return typed[0].home.placed(text) if typed else text
    except Exception:  # noqa: BLE001  what is to be said is more than how it is typed
        return text


def _say_program() -> None:
    import shutil

    called = Path(sys.argv[0])
    if _told_program or called.suffix != ".py" or shutil.which("greenroom"):
        return
    if called.name == "__main__.py":
        words = [_shorter(sys.executable), "-m", "greenroom"]
    else:
        words = [_shorter(sys.executable), _shorter(str(called.absolute()))]
    _told_program.append(shlex.join(words))
    print(f"greenroom: here, type {_told_program[0]} for greenroom", file=sys.stderr, flush=True)


def _shorter(path: str) -> str:
    return min(path, os.path.relpath(path), key=len)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one line for a person. What others have written into it can neither end it nor move the cursor."""
    from greenroom.metrics.event_sentences import printable

    _write_line(printable(_typed(text)), stream or sys.stdout)


def note(text: str) -> None:
    """Tell a person something beside the answer: on stderr, after the command's name, at most the first line alone."""
    _write_line(f"greenroom: {block(text)}", sys.stderr)


def _write_line(text: str, stream: TextIO) -> None:
    """Write a line by one call: output of workers comes from another thread, which must not get into the middle."""
    stream.write(f"{text}\n")
    stream.flush()


def block(text: str) -> str:
    """Make a text of several lines harmless: each is escaped, and those after the first are set off from our own."""
    from greenroom.metrics.event_sentences import printable

    return "\n    ".join(printable(line) for line in _typed(text).split("\n"))


def trace(title: str, text: str) -> None:
    """Show the traceback of a failure under a title; nothing where there is none."""
    if text:
        print(f"\n{block(title + quoted(text))}")


def quoted(text: str) -> str:
    """Set the lines of a traceback off, below another line: its messages are of others, and may look like our own.

    Its heads are told from those that Python writes where this command itself has failed.
    """
    from greenroom.messages.core.failures import HEADER

    return "".join(f"\n| {line}" for line in text.replace(HEADER, "Calls (most recent last):\n").split("\n"))


def blank() -> None:
    """Leave a line free."""
    print()


def emit(value: object) -> None:
    """Write a value as JSON to stdout: models, dataclasses and containers of them."""
    _write_json(value, indent=2)


def emit_line(value: object) -> None:
    """Write a value as JSON to stdout, in one line."""
    _write_json(value, indent=None)


def _write_json(value: object, indent: int | None) -> None:
    """Write JSON in UTF-8, whatever the terminal's encoding.

    On a terminal what it would obey or not show is escaped as JSON does it: bytes from 0x7f on that control it, marks
    of writing direction, characters without width.
    """
    from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

    try:
        text = to_json(value, indent=indent, fallback=_read).decode()
    except (PydanticSerializationError, UnicodeError):  # half a surrogate pair
        text = json.dumps(to_jsonable_python(value, fallback=_read), indent=indent)
    if sys.stdout.isatty():
        text = "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.flush()


def _read(value: object) -> object:
    """Give what pydantic does not know how to write: a value of a user's that is text as yet."""
    from greenroom.messages.core.json_text import JsonText

    if isinstance(value, JsonText):
        return value.read()
    msg = f"{type(value).__name__} is no JSON"
    raise TypeError(msg)


def _escaped(sign: str) -> str:
    return json.dumps(sign)[1:-1] if sign != "\x7f" else "\\u007f"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO | None = None) -> None:
    """Show rows under headings; numbers of columns and cells agree. A cell that names a status is coloured."""
    from greenroom.metrics.event_sentences import printable

    target = sys.stdout if stream is None else stream
    cells = [["" if cell is None else printable(_text(cell)) for cell in row] for row in rows]
    if target.isatty():
        _rich_table(columns, cells, target)
        return
    widths = [max(len(row[place]) for row in [list(columns), *cells]) for place in range(len(columns))]
    for row in [[name.upper() for name in columns], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=target)


def _text(value: object) -> str:
    """Write what a record holds: times as its JSON has them."""
    from greenroom.messages.core.times import iso

    return iso(value) if isinstance(value, datetime) else str(value)


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]], stream: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in cells:
        shown.add_row(*(Text(cell, STATUS_STYLE.get(cell, "")) for cell in row))
    console(stream).print(shown)


def console(stream: TextIO) -> "Console":
    """Give rich's way to a terminal. Texts of others go to it as ``Text``, in which no markup is read, and escaped."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def look(home: "Home") -> "JournalQueries":
    """Open the journal of a home for reading, and say where it is damaged.

    Raises:
        RunNotFound: The home has no journal yet.
        JournalError: The journal cannot be read.
    """
    from greenroom.workflows.queries.reader import JournalQueries

    return JournalQueries.open(home, complain=note)


def seconds(value: float | None) -> str:
    """Give a duration as a person reads it: ``"4 ms"``, ``"1.25 s"``, ``"3 min 20 s"``."""
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < SIXTY:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), SIXTY)
    return f"{minutes} min {rest} s" if minutes < SIXTY else f"{minutes // SIXTY} h {minutes % SIXTY} min"


def between(start: datetime, end: datetime | None) -> float:
    """Give the seconds from one time to another, up to now where the second is None."""
    return max(0.0, ((end or datetime.now(UTC)) - start).total_seconds())


def ago(moment: datetime) -> str:
    """Say how long ago a time was."""
    return seconds(between(moment, None))


def size(count: int | None) -> str:
    """Give a number of bytes in MiB."""
    return "" if count is None else f"{count / 2**20:.1f} MiB"


def column_width() -> int:
    """Give the columns that a page for people may fill: those of the terminal, 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def facts(pairs: Iterable[tuple[str, Any]], stream: TextIO | None = None, *, wrapped: bool = False) -> None:
    """Show names with their values; those without a value are left out.

    Each has one line, or with ``wrapped`` as many as it needs on the page.
    """
    from greenroom.metrics.event_sentences import printable

    shown = [(name, printable(_text(value))) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        lines = textwrap.wrap(value, column_width() - width - 2, break_on_hyphens=False) if wrapped else [value]
        for number, line in enumerate(lines):
            print(f"{(name if number == 0 else '').ljust(width)}  {line}", file=stream or sys.stdout)
