"""The ids of workers: short, readable, and unique in the whole tree."""

import itertools

from greenroom.supervision.jobs import PoolKey


class Names:
    """Gives out worker ids such as ``"tool-1"``, or ``"tool:search-1"`` in a pool of a step's own.

    An id is free again once its slot is gone, and the smallest free number is taken first, so that ids stay short. The
    count of an id's lives goes on, so that no two lives ever share id and incarnation. Reactor thread only.
    """

    def __init__(self) -> None:
        """Begin with every id free."""
        self._taken: set[str] = set()
        self._lives: dict[str, int] = {}

    def take(self, key: PoolKey) -> str:
        """Return a free id for a worker of this pool."""
        base = key.name or key.kind
        if base.partition(":")[0] != key.kind:
            base = f"{key.kind}:{base}"
        worker = next(name for number in itertools.count(1) if (name := f"{base}-{number}") not in self._taken)
        self._taken.add(worker)
        return worker

    def release(self, worker: str) -> None:
        """Take an id back."""
        self._taken.discard(worker)

    def next_life(self, worker: str) -> int:
        """Return the number of the life that this worker begins now: 1 for its first."""
        self._lives[worker] = life = self._lives.get(worker, 0) + 1
        return life
