"""How output is printed: JSON for programs, tables on a terminal, plain aligned lines in a pipe.

Everything that the command line prints goes through this module. Names, results, errors and output of tools are not
trusted: control characters in them are shown escaped instead of obeyed by the terminal.
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

    from greenroom.messages.records.pages import Page
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
"""How the program is called here, once it is known."""


def _typed(text: str) -> str:
    """Return a text whose commands can be typed here; in a checkout the program has another name."""
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
    _write_line(f"greenroom: here, type {_told_program[0]} for greenroom", sys.stderr)


def _shorter(path: str) -> str:
    return min(path, os.path.relpath(path), key=len)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one line for a person. Untrusted text in it can neither end the line nor move the cursor."""
    from greenroom.metrics.printable import printable

    _write_line(printable(_typed(text)), stream or sys.stdout)


def note(text: str) -> None:
    """Print a note for a person on stderr, after the command's name."""
    _write_line(f"greenroom: {block(text)}", sys.stderr)


def note_more(page: "Page[Any]") -> None:
    """Print a note on how to get the rest of a list."""
    if page.next is not None:
        note(f"there are more: go on with --cursor {page.next}")


def _write_line(text: str, stream: TextIO) -> None:
    """Write a line with one call, as ``print`` does not: another thread writes output of workers."""
    stream.write(f"{text}\n")
    stream.flush()


def block(text: str) -> str:
    """Return a text of several lines made harmless: each is escaped, and those after the first are indented."""
    from greenroom.metrics.printable import printable

    return "\n    ".join(printable(line) for line in _typed(text).split("\n"))


def trace(title: str, text: str) -> None:
    """Print the traceback of a failure under a title; nothing if there is none."""
    if text:
        _write_line(f"\n{block(title + quoted(text))}", sys.stdout)


def quoted(text: str) -> str:
    """Indent the lines of a traceback: its messages are untrusted and could look like the command's own.

    Its first lines differ from those that Python prints when the command itself has failed.
    """
    from greenroom.messages.core.failures import HEADER

    return "".join(f"\n| {line}" for line in text.replace(HEADER, "Calls (most recent last):\n").split("\n"))


def blank() -> None:
    """Print an empty line."""
    _write_line("", sys.stdout)


def emit(value: object) -> None:
    """Print a value as JSON to stdout: models, dataclasses and containers of them."""
    _write_json(value, indent=2)


def emit_line(value: object) -> None:
    """Print a value as JSON to stdout, in one line."""
    _write_json(value, indent=None)


def _write_json(value: object, indent: int | None) -> None:
    """Print JSON in UTF-8, whatever the terminal's encoding.

    On a terminal, characters that it would obey or hide are escaped as JSON does: control characters from 0x7f on,
    marks of writing direction, characters without width.
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
    """Return the plain value of what pydantic cannot serialise: a user's value that is held as text."""
    from greenroom.messages.core.json_text import JsonText

    if isinstance(value, JsonText):
        return value.read()
    msg = f"{type(value).__name__} cannot be written as JSON"
    raise TypeError(msg)


def _escaped(sign: str) -> str:
    return json.dumps(sign)[1:-1] if sign != "\x7f" else "\\u007f"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO | None = None) -> None:
    """Print rows under headings, with as many cells as headings. A cell with a status is coloured."""
    from greenroom.metrics.printable import printable

    target = sys.stdout if stream is None else stream
    cells = [["" if cell is None else printable(_text(cell)) for cell in row] for row in rows]
    if target.isatty():
        _rich_table(columns, cells, target)
        return
    widths = [max(len(row[place]) for row in [list(columns), *cells]) for place in range(len(columns))]
    for row in [[name.upper() for name in columns], *cells]:
        _write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), target)


def _text(value: object) -> str:
    """Return a field of a record as text; times as in its JSON."""
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
    """Return rich's console. Untrusted text must be given to it escaped, as ``Text``, which reads no markup."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def look(home: "Home") -> "JournalQueries":
    """Open the journal of a home for reading, and print a note if it is damaged.

    Raises:
        RunNotFound: The home has no journal yet.
        JournalError: The journal cannot be read.
    """
    from greenroom.workflows.queries.reader import JournalQueries

    return JournalQueries.open(home, complain=note)


def seconds(value: float | None) -> str:
    """Return a duration for people: ``"4 ms"``, ``"1.25 s"``, ``"3 min 20 s"``."""
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < SIXTY:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), SIXTY)
    return f"{minutes} min {rest} s" if minutes < SIXTY else f"{minutes // SIXTY} h {minutes % SIXTY} min"


def cost(usd: float | None, unpriced: int) -> str:
    """Return what model calls cost, for people: ``"$0.0125"``, ``"$0.0125 and 2 calls of unknown price"``."""
    known = [] if usd is None else [f"${usd:.4g}"]
    unknown = [f"{unpriced} call{'s' if unpriced > 1 else ''} of unknown price"] if unpriced else []
    return " and ".join(known + unknown)


def between(start: datetime, end: datetime | None) -> float:
    """Return the seconds from one time to another, or to now if the second is None."""
    return max(0.0, ((end or datetime.now(UTC)) - start).total_seconds())


def ago(moment: datetime) -> str:
    """Return how long ago a time was."""
    return seconds(between(moment, None))


def size(count: int | None) -> str:
    """Return a number of bytes in MiB."""
    return "" if count is None else f"{count / 2**20:.1f} MiB"


def column_width() -> int:
    """Return the width of a page for people: that of the terminal, or 80."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def facts(pairs: Iterable[tuple[str, Any]], stream: TextIO | None = None, *, wrapped: bool = False) -> None:
    """Print names with their values; those without a value are left out.

    Each value has one line, or with ``wrapped`` as many as it needs.
    """
    from greenroom.metrics.printable import printable

    shown = [(name, printable(_text(value))) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        lines = textwrap.wrap(value, column_width() - width - 2, break_on_hyphens=False) if wrapped else [value]
        for number, line in enumerate(lines):
            _write_line(f"{(name if number == 0 else '').ljust(width)}  {line}", stream or sys.stdout)
