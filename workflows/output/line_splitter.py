"""Splitting the bytes that a worker writes into lines, with secrets redacted. Pure."""

from typing import Final

from greenroom.messages.secrets.redaction import Redactor

LINE_BYTES: Final = 8 * 1024
"""Most bytes of a line; a longer one is split."""
PARTIAL_SECONDS: Final = 0.2
"""Seconds that an unfinished line waits for its end."""
REDRAWN_SECONDS: Final = 2.0
"""Seconds that an unfinished line waits if it is redrawn, as progress bars are."""


class LineSplitter:
    """Splits one stream of one job. Of a line redrawn with carriage returns the last state is kept."""

    def __init__(self, redactor: Redactor) -> None:
        """Start with an empty stream."""
        self._redactor = redactor
        self._rest = max(0, redactor.longest - 1)  # bytes at a split that may be part of a secret
        self._open = bytearray()
        """The unfinished line."""
        self._redrawn = False
        self._given = False
        """Whether the last line was returned unfinished: its line feed, when it comes, ends no other line."""
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
        if self._given and data:
            self._given = False
            if not self._open:
                data = data[1:] if data.startswith(b"\n") else data.removeprefix(b"\r\n")
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
            if len(whole) > LINE_BYTES and max(map(len, lines)) > LINE_BYTES:
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
            lines += _pieces(text[:cut])
            self._open[:] = text[cut:]
        return lines

    def take_open(self, at: float, *, last: bool) -> list[bytes]:
        """Return the unfinished line as lines, without a possible part of a secret at its end unless it is the last."""
        text = self._redactor.data(bytes(self._open))
        cut = len(text) if last else len(text) - self._redactor.begun(text)
        self._open[:] = text[cut:]
        self._touched = at
        text = _last_state(text[:cut])
        self._given = bool(text) and not last
        return _pieces(text) if text else []


def _last_state(line: bytes) -> bytes:
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= LINE_BYTES:
        return [line]
    return [line[start : start + LINE_BYTES] for start in range(0, len(line), LINE_BYTES)]
