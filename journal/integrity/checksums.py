"""Checksums of what is outside the hash chains: lines of the run index, timers, marks. Against rot, not tampering."""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final
from zlib import crc32

_NUL: Final = "\0"
_NUMBERS: Final = struct.Struct("<dddqqqqB")
SUM: Final = 1 << 63
"""Sums of lines are taken modulo this; SQLite's integers hold them."""


def seal_of(line: Sequence[Any]) -> int:
    """Give the checksum of an index line: of all its columns but the number and the seal, in the reader's order.

    Returns:
        32 bits; -1, which no line has, where a column holds a value of another type than it should.
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
    """Give what a timer or a mark adds to a sum of its run: 63 bits that follow from its columns."""
    return int.from_bytes(blake2b(repr(columns).encode(), digest_size=8).digest()) % SUM
