"""Detection of agents that go round in circles. Pure."""

from collections.abc import Hashable, Sequence
from typing import Final

LONGEST_CYCLE: Final = 5
"""Most calls that one round of a circle has."""
TOLD_AT: Final = 3
"""Rounds after which the model is told."""
STOPPED_AT: Final = 5
"""Rounds after which the agent is stopped."""


def rounds(calls: Sequence[Hashable]) -> int:
    """Return how often the newest calls repeat themselves: 1 if they do not.

    Two calls are the same if tool, arguments and result are. A circle may have up to ``LONGEST_CYCLE`` calls.
    """
    most = 1
    for length in range(1, LONGEST_CYCLE + 1):
        cycle, count = calls[-length:], 1
        while len(calls) >= (count + 1) * length:
            start = len(calls) - (count + 1) * length
            if calls[start : start + length] != cycle:
                break
            count += 1
        most = max(most, count)
    return most
