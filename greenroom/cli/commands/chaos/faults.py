"""The faults of a chaos run: of which kinds, in which order and at which distance. Pure: the seed decides."""

from collections.abc import Collection, Iterator
from random import Random
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.frozen import frozen

FaultKind: TypeAlias = Literal["kill", "hang", "zygote", "keeper", "orchestrator"]
"""What happens: a worker is killed; a worker is stopped, so that it hangs; one of the processes that start workers is
killed; the orchestrator is killed, and started again."""

WEIGHTS: Final[dict[FaultKind, int]] = {"kill": 12, "hang": 2, "zygote": 1, "keeper": 1, "orchestrator": 2}
"""How often a kind comes, compared with the others."""


@frozen
class Fault:
    """One fault."""

    kind: FaultKind
    pause: float
    """Seconds since the fault before it."""
    choice: float
    """A number from 0 to below 1: which of the processes that it may hit, in their order."""


def faults(seed: int, kinds: Collection[FaultKind], every: float) -> Iterator[Fault]:
    """Yield faults without end, the same ones for the same arguments.

    Args:
        seed: Seed of the choice.
        kinds: The kinds to choose from; at least one.
        every: Mean number of seconds between two faults.
    """
    chance = Random(seed)  # noqa: S311  a choice that can be repeated
    chosen: list[FaultKind] = [kind for kind in WEIGHTS if kind in kinds]
    weights = [WEIGHTS[kind] for kind in chosen]
    while True:
        (kind,) = chance.choices(chosen, weights)
        yield Fault(kind, every * chance.uniform(0.5, 1.5), chance.random())
