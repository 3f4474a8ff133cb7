"""Check of the saved sums over events: each line is what was written, and follows the one before."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from zlib import crc32

LINES: Final = "SELECT upto, since, sums, durations, seal FROM figures"


def seal(*columns: int | str | bytes) -> int:
    """Return the checksum of a line."""
    value = 0
    for column in columns:
        value = crc32(column if isinstance(column, bytes) else f"{column}\0".encode(), value)
    return value


def faulty(lines: Iterable[Sequence[Any]], end: int = 0) -> str:
    """Return what is wrong with rows of ``LINES`` behind event ``end``, in ascending order; empty if nothing is."""
    for upto, since, sums, durations, sealed in lines:
        if since != end:
            return f"the sums over events {end + 1} to {since} are missing"
        try:
            good = seal(upto, since, sums, durations) == sealed
        except TypeError:
            good = False
        if not good:
            return f"the sums over events {since + 1} to {upto} are not what was written"
        end = upto
    return ""
