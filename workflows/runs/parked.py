"""Runs that were parked because a pool had given up: they go on once it works again, or a person wants it."""

from collections.abc import Callable
from typing import Final

from greenroom.supervision.jobs import PoolKey
from greenroom.supervision.pool.events import WorkerEvent
from greenroom.workflows.decisions.inputs import Resume
from greenroom.workflows.runs.registry import RunRegistry

LONGEST_PAUSE: Final = 1800.0
"""Seconds at most between two runs that try whether a pool works again."""


class ParkedRuns:
    """Sends parked runs on when their pool does. Reactor's thread only.

    A pool that has given up takes work again after a while, and may give up again. So one run tries it first, after
    pauses that grow; the others follow when a worker of that pool has become ready, whoever needed it.
    """

    def __init__(self, runs: RunRegistry, call_later: Callable[[float, Callable[[], object]], object]) -> None:
        """Know the runs, and have a way to wait."""
        self._runs = runs
        self._call_later = call_later
        self._tries: dict[PoolKey, int] = {}
        """Runs sent ahead since the pool last worked."""

    def hear(self, event: WorkerEvent) -> None:
        """Take a change in the life of a pool."""
        if event.kind == "recovered":
            self._tries.pop(event.pool, None)
            self._send(event.pool, None)
        elif event.kind == "reopened":
            tries = self._tries[event.pool] = self._tries.get(event.pool, 0) + 1
            pause = min(LONGEST_PAUSE, 60.0 * (2.0 ** min(tries - 1, 10) - 1.0))
            self._call_later(pause, lambda: self._send(event.pool, 1))

    def recover(self) -> None:
        """Send every such run on: this orchestrator has not tried their pools yet."""
        self._send(None, None)

    def _send(self, pool: PoolKey | None, most: int | None) -> None:
        self._runs.stranded(pool, lambda found: self._resume(found[:most]))

    def _resume(self, found: list[tuple[str, str]]) -> None:
        for run_id, pool in found:
            self._runs.route(run_id, Resume(pool=pool))
