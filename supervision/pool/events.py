"""Events in the lives of workers and pools, for logs and metrics."""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen
from greenroom.supervision.jobs import PoolKey

Happening: TypeAlias = Literal[
    "started", "ready", "exited", "restarting", "replaced", "short", "degraded", "reopened", "recovered"
]
"""Of a worker, in this order: its process exists; it accepts work; its process and tree are gone; it restarts after
``delay``; its process is replaced as planned, which counts as no death.

Of a pool: it cannot start as many workers as it should; it refuses jobs for a while; it accepts jobs again; a worker
has become ready after it was short or degraded.
"""

OF_POOLS: Final[frozenset[Happening]] = frozenset({"short", "degraded", "reopened", "recovered"})
"""Events of pools, not of workers."""


@frozen
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
    """For ``exited``: tokens of the charged jobs."""
    detail: str = ""
    """For ``replaced``, ``short`` and ``degraded``: the reason, shown to users."""


EventHook: TypeAlias = Callable[[WorkerEvent], None]
"""Called on the reactor's thread; must not block."""
