"""Resume runs that were parked because a pool had given up, once the pool works again."""

from collections.abc import Callable
from functools import partial
from typing import Final

from greenroom.journal.interface import Journal
from greenroom.supervision.jobs import PoolKey
from greenroom.supervision.pool.events import WorkerEvent
from greenroom.workflows.decisions.inputs import Resume
from greenroom.workflows.runs.registry import RunRegistry
from greenroom.workflows.runs.starts.recovery import find_stranded

LONGEST_PAUSE: Final = 1800.0
"""Most seconds between two runs that try whether a pool works again."""


class ParkedRuns:
    """Resumes parked runs when their pool works again. Reactor thread only.

    A pool that has given up takes work again after a while, and may give up again. So one run tries it first, after
    pauses that grow. The others follow when a worker of that pool has become ready.
    """

    def __init__(
        self, runs: RunRegistry, journal: Journal, call_later: Callable[[float, Callable[[], object]], object]
    ) -> None:
        """Keep the arguments; ``call_later`` calls a function after some seconds."""
        self._runs = runs
        self._journal = journal
        self._call_later = call_later
        self._tries: dict[PoolKey, int] = {}
        """Runs that have tried each pool since it last worked."""

    def hear(self, event: WorkerEvent) -> None:
        """Take an event of a pool."""
        if event.kind == "recovered":
            self._tries.pop(event.pool, None)
            self._send(event.pool, None)
        elif event.kind == "reopened":
            tries = self._tries[event.pool] = self._tries.get(event.pool, 0) + 1
            pause = min(LONGEST_PAUSE, 60.0 * (2.0 ** min(tries - 1, 10) - 1.0))
            self._call_later(pause, lambda: self._send(event.pool, 1))

    def recover(self) -> None:
        """Resume every such run: this orchestrator has not tried their pools yet."""
        self._send(None, None)

    def _send(self, pool: PoolKey | None, most: int | None) -> None:
        self._runs.begin(self._resume(pool, most))

    async def _resume(self, pool: PoolKey | None, most: int | None) -> None:
        found = await self._runs.read(partial(find_stranded, self._journal, pool))
        for run_id, name in found[:most]:
            self._runs.route(run_id, Resume(pool=name))
