"""Checksums of what hash chains do not cover: index lines, timers, marks. They detect bit rot, not tampering."""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final
from zlib import crc32

_NUL: Final = "\0"
_NUMBERS: Final = struct.Struct("<dddqqqqB")
SUM: Final = 1 << 63
"""Modulus of the sums, so that they fit SQLite's integers."""


def seal_of(line: Sequence[Any]) -> int:
    """Return the checksum of an index line: of all columns except the number and the seal, in the reader's order.

    Returns:
        32 bits; -1, which no line has, if a column holds a value of a wrong type.
    """
    id_, workflow, app, status, started, updated, ended, parent, reason, last_seq, kind, wake_seq, aside, keys, head = (
        line
    )
    try:
        texts = _NUL.join((id_, workflow, app, status, kind, parent or "", reason or ""))
        absent = (parent is None) + 2 * (reason is None) + 4 * (ended is None)
        numbers = _NUMBERS.pack(started, updated, ended or 0.0, last_seq, wake_seq, aside, keys, absent)
        return crc32(head, crc32(numbers, crc32(texts.encode())))
    except (TypeError, ValueError, struct.error):
        return -1


def weight_of(*columns: Any) -> int:
    """Return what a timer or a mark adds to its run's sum: 63 bits derived from its columns."""
    return int.from_bytes(blake2b(repr(columns).encode(), digest_size=8).digest()) % SUM
