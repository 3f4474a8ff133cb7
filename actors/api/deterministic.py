"""Time and chance in workflow code: the same on every replay, since nothing of them is taken from the process itself.

Anywhere else these are what their names say, without a memory.
"""

import random as chance
import uuid
from datetime import UTC, datetime
from typing import Final

from greenroom.actors.context import program

_FRACTION_BITS: Final = 53
"""As many as a float holds."""


def now() -> datetime:
    """Give the time, in UTC.

    In a workflow it is the moment at which the newest outcome that it knows was recorded, or at which the run was
    started: it stands still from one await to the next, and never goes back.
    """
    port = program.get()
    return datetime.now(UTC) if port is None else datetime.fromtimestamp(port.now(), UTC)


def random() -> float:
    """Give a random number, at least 0 and below 1. Not for secrets: whoever reads the journal can tell it."""
    port = program.get()
    if port is None:
        return chance.random()  # noqa: S311  no secret is made of it
    return (int.from_bytes(port.draw("random()")) >> (256 - _FRACTION_BITS)) / (1 << _FRACTION_BITS)


def uuid4() -> uuid.UUID:
    """Give a random identity that no other run, and no other call in this one, is given."""
    port = program.get()
    return uuid.uuid4() if port is None else uuid.UUID(bytes=port.draw("uuid4()")[:16], version=4)
