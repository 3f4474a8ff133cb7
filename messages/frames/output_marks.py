r"""Marks in the output of a worker that many jobs share. They say which job wrote the bytes that follow. Pure.

Such a worker has one stdout and one stderr for all of its jobs. Python code's output is written in pieces, each after a
head that names its job. Output of C code or a subprocess has no head and belongs to the worker. A piece with its head
is no longer than what the kernel writes to a pipe atomically, so pieces do not mix.

Example: ``\0\x1e\0us\x1e`` ``0009`` ``0003`` ``["r",null`` ``hi\n``; an empty piece says that its job has ended.
"""

from collections.abc import Iterator
from typing import Final

ATOMIC_BYTES: Final = 4096
"""Most bytes that Linux writes to a pipe atomically (``PIPE_BUF``)."""
LONGEST_LABEL: Final = 2048
"""Longest label; a job with a longer name has none."""
_BEGIN: Final = b"\0\x1e\0us\x1e"
_DIGITS: Final = 4
_HEAD: Final = len(_BEGIN) + 2 * _DIGITS

Part = tuple[bytes | None, bytes]
"""A label, or None without one, and the bytes written under it."""


def marked(label: bytes, data: bytes) -> Iterator[bytes]:
    """Yield what to write, one write each, for bytes of a job. Empty bytes mean that the job has ended."""
    room = ATOMIC_BYTES - _HEAD - len(label)
    for start in range(0, len(data), room) if data else (0,):
        piece = data[start : start + room]
        yield b"%s%04x%04x%s%s" % (_BEGIN, len(label), len(piece), label, piece)


class Splitter:
    """Splits a stream into its parts, in whatever pieces it is read."""

    def __init__(self) -> None:
        """Begin at the start of a stream."""
        self._rest = b""

    def feed(self, data: bytes) -> list[Part]:
        """Add bytes and return the parts that are complete with them."""
        data, self._rest = self._rest + data, b""
        parts: list[Part] = []
        place = 0
        while place < len(data):
            start = data.find(_BEGIN, place)
            if start < 0:
                start = len(data) - _begun(data)
                self._rest = data[start:]
            if start > place:
                parts.append((None, data[place:start]))
            if self._rest:
                break
            place = start
            if place == len(data):
                break
            sizes = _sizes(data, place)
            if sizes is None:  # it only looks like a head
                parts.append((None, data[place : place + len(_BEGIN)]))
                place += len(_BEGIN)
                continue
            middle = place + _HEAD + sizes[0]
            end = middle + sizes[1]
            if len(data) < end:
                self._rest = data[place:]
                break
            parts.append((data[place + _HEAD : middle], data[middle:end]))
            place = end
        return parts

    def end(self) -> bytes:
        """Return the rest at the end of the stream. An incomplete piece has no label."""
        rest, self._rest = self._rest, b""
        return rest


def unmarked(data: bytes, *, cut: bool = False) -> bytes:
    """Return the last bytes of a stream without their marks. ``cut``: whether earlier bytes were dropped."""
    first = data.find(_BEGIN)
    if first < 0:
        return data
    splitter = Splitter()
    parts = splitter.feed(data[first:] if cut else data)
    return b"".join(piece for _, piece in parts) + splitter.end()


def _begun(data: bytes) -> int:
    """Return how many of the last bytes may be the beginning of a head."""
    for length in range(min(len(_BEGIN) - 1, len(data)), 0, -1):
        if data.endswith(_BEGIN[:length]):
            return length
    return 0


def _sizes(data: bytes, place: int) -> tuple[int, int] | None:
    """Return the lengths of label and piece in a head: 0 if it is incomplete, None if it is not a head."""
    digits = data[place + len(_BEGIN) : place + _HEAD]
    if len(digits) < 2 * _DIGITS:
        return (0, 0)
    try:
        label, piece = int(digits[:_DIGITS], 16), int(digits[_DIGITS:], 16)
    except ValueError:
        return None
    return (label, piece) if _HEAD + label + piece <= ATOMIC_BYTES else None
