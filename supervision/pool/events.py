"""Events in the lives of workers and pools, for logs and metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.failures import Exit
from greenroom.supervision.jobs import PoolKey

Happening: TypeAlias = Literal[
    "started", "ready", "exited", "restarting", "replaced", "short", "degraded", "reopened", "recovered"
]
"""The process exists; it takes work; it is gone with its tree; another life begins after ``delay``; another one takes
its place as it was planned, which counts as no death.

Of the pool: it cannot begin as many workers as it should; it has given up for a while; it takes jobs again; a worker of
it has become ready since it was short or had given up.
"""

OF_POOLS: Final[frozenset[Happening]] = frozenset({"short", "degraded", "reopened", "recovered"})
"""What happens to pools and not to workers."""


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """One event in the life of a worker, or of its pool."""

    kind: Happening
    pool: PoolKey
    worker: str
    incarnation: int
    pid: int | None = None
    exit: Exit | None = None
    """For ``exited`` and ``degraded``: how the life ended."""
    delay: float | None = None
    """For ``restarting``: seconds until the next life begins."""
    charged: tuple[str, ...] = ()
    """For ``exited``: tokens of the jobs that are to blame."""
    detail: str = ""
    """For ``replaced`` and ``degraded``: why, for a person."""


EventHook: TypeAlias = Callable[[WorkerEvent], None]
"""Called on the reactor's thread; must not block."""
