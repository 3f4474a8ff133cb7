"""Ids of workers, which are short, readable and unique in the whole tree."""

import itertools

from greenroom.supervision.jobs import PoolKey


class Names:
    """Assigns worker ids such as ``"tool-1"``, or ``"tool:search-1"`` in the pool of a single step.

    An id is free again when its slot is removed. The smallest free number is used first, so that ids stay short. An
    id's count of lives is kept, so that no two lives share id and incarnation. Reactor thread only.
    """

    def __init__(self) -> None:
        """Start with every id free."""
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
        """Free an id."""
        self._taken.discard(worker)

    def next_life(self, worker: str) -> int:
        """Return the number of the worker's next life: 1 for its first."""
        self._lives[worker] = life = self._lives.get(worker, 0) + 1
        return life
