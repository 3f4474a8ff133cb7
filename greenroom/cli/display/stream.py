"""How the items of a stream are printed: as JSON for programs, as running text for people."""

import sys
from typing import Protocol

from greenroom.cli.display.values import emit_line, note
from greenroom.messages.records.records import StreamItem


class StreamPrinter(Protocol):
    """Prints items one at a time, and flushes each."""

    def show(self, item: StreamItem) -> None:
        """Print an item."""
        ...

    def note(self, text: str) -> None:
        """Print a note on stderr, on a line of its own."""
        ...

    def end(self) -> None:
        """End the line that is being printed."""
        ...


class ItemPrinter:
    """Prints items as JSON, one in a line."""

    def show(self, item: StreamItem) -> None:
        """Print an item with all that is known of it."""
        emit_line(item)

    def note(self, text: str) -> None:
        """Print a note on stderr."""
        note(text)

    def end(self) -> None:
        """Do nothing: every line is whole."""


class ValuePrinter(ItemPrinter):
    """Prints the values alone as JSON, one in a line. That those of a lost attempt do not count is a note on stderr."""

    def show(self, item: StreamItem) -> None:
        """Print an item's value."""
        if item.kind == "discarded":
            self.note(f"attempt {item.attempt} of {item.step} was lost: what it emitted here does not count")
        else:
            emit_line(item.value)


class TextPrinter:
    """Prints the text of steps as it comes, and values that are not text as JSON, one in a line.

    The whole text is not repeated where its pieces were printed. A line marks the text of a lost attempt.
    """

    def __init__(self) -> None:
        """Print nothing yet."""
        self._source: tuple[str | None, int | None] | None = None
        """Step and attempt of the text that is being printed; None at the start of a line."""
        self._text = ""
        """What was printed of it."""

    def show(self, item: StreamItem) -> None:
        """Print an item, as more of the present line if it is text of the same attempt."""
        from greenroom.messages.core.json_text import plain

        source = (item.step, item.attempt)
        value = plain(item.value)
        if item.kind == "partial" and isinstance(value, str):
            if source != self._source:
                self.end()
                self._source = source
            self._text += value
            _write(value)
            return
        printed = self._text if source == self._source else ""
        self.end()
        if item.kind == "discarded":
            _write(f"[attempt {item.attempt} of {item.step} was lost: its text above does not count]\n")
        elif item.kind == "value" or not isinstance(value, str):
            emit_line(value)
        elif printed.strip() != value.strip():
            _write(f"{value}\n")

    def note(self, text: str) -> None:
        """Print a note on stderr, on a line of its own."""
        self.end()
        note(text)

    def end(self) -> None:
        """End the line that is being printed."""
        if self._source is not None:
            _write("" if self._text.endswith("\n") else "\n")
        self._source, self._text = None, ""


def _write(text: str) -> None:
    """Write untrusted text, which a terminal must not obey. It may have lines."""
    from greenroom.metrics.printable import printable

    if sys.stdout.isatty():
        text = "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    sys.stdout.write(text)
    sys.stdout.flush()
