"""Time and randomness for workflow code, the same on every replay because they follow from the journal.

Outside workflows these functions use the system's clock and random numbers.
"""

import random as chance
import uuid
from datetime import UTC, datetime
from typing import Final

from greenroom.actors.context import program

_FRACTION_BITS: Final = 53
"""Number of bits in a float's significand."""


def now() -> datetime:
    """Return the current time, in UTC.

    In a workflow this is when the newest outcome that the workflow knows was recorded, or when the run started. It does
    not change between two awaits, and never goes back.
    """
    port = program.get()
    return datetime.now(UTC) if port is None else datetime.fromtimestamp(port.now(), UTC)


def random() -> float:
    """Return a random number, at least 0 and below 1. Not for secrets: readers of the journal can compute it."""
    port = program.get()
    if port is None:
        return chance.random()  # noqa: S311  not used for secrets
    return (int.from_bytes(port.random_bytes("random()")) >> (256 - _FRACTION_BITS)) / (1 << _FRACTION_BITS)


def uuid4() -> uuid.UUID:
    """Return a random UUID. Each call in each run gets a different one."""
    port = program.get()
    return uuid.uuid4() if port is None else uuid.UUID(bytes=port.random_bytes("uuid4()")[:16], version=4)
