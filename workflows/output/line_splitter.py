"""Splitting the bytes that a worker writes into lines, with secrets redacted. Pure."""

from collections.abc import Iterable
from typing import Final

from greenroom.messages.secrets.redaction import Redactor

LINE_BYTES: Final = 8 * 1024
"""Most bytes of a line; a longer one is split."""
PARTIAL_SECONDS: Final = 0.2
"""Seconds that an unfinished line waits for its end."""
REDRAWN_SECONDS: Final = 2.0
"""Seconds that an unfinished line waits if it is redrawn, as progress bars are."""


class Continuation(bytes):
    """What follows in a line after a part of it that was given as a line before."""

    __slots__ = ()


def count_lines(lines: Iterable[bytes]) -> int:
    """Return how many lines begin in what a ``LineSplitter`` gave: parts of one line count once."""
    return sum(type(line) is not Continuation for line in lines)


class LineSplitter:
    """Splits one stream of one job. Of a line redrawn with carriage returns the last state is kept.

    A line that is long, or stands unfinished, is given in parts; all but the first are of type ``Continuation``.
    """

    def __init__(self, redactor: Redactor) -> None:
        """Start with an empty stream."""
        self._redactor = redactor
        self._rest = max(0, redactor.longest - 1)  # bytes at a split that may be part of a secret
        self._open = bytearray()
        """The unfinished line."""
        self._redrawn = False
        self._midway = False
        """Whether what was given last did not end its line: a line feed that follows at once ends no other line."""
        self._touched = 0.0

    @property
    def due(self) -> float | None:
        """When to call ``take_open``, in seconds; None if there is no unfinished line."""
        wait = REDRAWN_SECONDS if self._redrawn else PARTIAL_SECONDS
        return self._touched + wait if self._open.strip(b"\r") else None

    def feed(self, data: bytes, at: float) -> list[bytes]:
        """Add bytes, read at a time in seconds, and return the lines that they complete."""
        if not self._open:
            self._touched = at
        end = data.rfind(b"\n")
        lines: list[bytes] = []
        if end >= 0:
            whole = self._redactor.data(bytes(self._open) + data[:end])
            lines = whole.split(b"\n")
            if b"\r" in whole:
                lines = [_last_state(line) for line in lines]
            self._open.clear()
            self._redrawn, self._touched = False, at
            data = data[end + 1 :]
            if self._midway:  # the first one ends a line, and may have nothing to add
                lines[:1] = [Continuation(lines[0])] if lines[0] else []
                self._midway = False
            if len(whole) > LINE_BYTES and max(map(len, lines), default=0) > LINE_BYTES:
                lines = [piece for line in lines for piece in _pieces(line)]
        self._open += data
        if (
            start := self._open.rfind(b"\r", 0, max(0, len(self._open) - 1))
        ) >= 0:  # the last one may belong to a "\r\n"
            del self._open[: start + 1]
            self._redrawn = True
        if len(self._open) > LINE_BYTES + self._rest:
            text = self._redactor.data(bytes(self._open))
            cut = max(0, len(text) - self._rest)
            lines += self._part(text[:cut])
            self._open[:] = text[cut:]
        return lines

    def take_open(self, at: float, *, last: bool) -> list[bytes]:
        """Return the unfinished line as lines, without a possible part of a secret at its end unless it is the last."""
        text = self._redactor.data(bytes(self._open))
        cut = len(text) if last else len(text) - self._redactor.begun(text)
        self._open[:] = text[cut:]
        self._touched = at
        text = _last_state(text[:cut])
        found = self._part(text) if text else []
        self._midway = self._midway and not last
        return found

    def _part(self, text: bytes) -> list[bytes]:
        """Return a part of a line whose end has not come."""
        pieces = _pieces(Continuation(text) if self._midway else text)
        self._midway = True
        return pieces


def _last_state(line: bytes) -> bytes:
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= LINE_BYTES:
        return [line]
    kind = type(line)
    rest = (Continuation(line[start : start + LINE_BYTES]) for start in range(LINE_BYTES, len(line), LINE_BYTES))
    return [kind(line[:LINE_BYTES]), *rest]
