"""Regular checks of a pool's workers: heartbeats, resident size and idle time."""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Mapping
from typing import Final

from greenroom.messages.core.failures import Exit
from greenroom.messages.options.policy import WorkerKind
from greenroom.supervision.jobs import Pool
from greenroom.supervision.kernel.proc_stats import look_at, resident_bytes
from greenroom.supervision.policy.liveness import BLOCKED_AFTER
from greenroom.supervision.pool.workers.worker_slot import Slot

MIB: Final = 1024 * 1024
TICK: Final = 1.0
"""Seconds between two checks."""


class HealthMonitor:
    """Checks the workers of one pool every second while there are any. Reactor thread only.

    Args:
        loop: The reactor's loop.
        kind: Kind of the workers.
        policy: Options of the pool, with the limits for idle time and size.
        slots: The workers, by id.
        replace: Replaces a worker between two jobs, for a given reason.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        kind: WorkerKind,
        policy: Pool,
        slots: Mapping[str, Slot],
        replace: Callable[[Slot, str], None],
    ) -> None:
        """Keep the arguments; ``start`` begins the checks."""
        self._loop = loop
        self._blocked_after = BLOCKED_AFTER if kind == "program" else None
        self._policy = policy
        self._slots = slots
        self._replace = replace
        self._timer: TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Start the checks, unless they are running."""
        if self._timer is None:
            self._due = self._loop.time() + TICK
            self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = None
        slept = now - self._due > TICK  # this process or its loop was stopped: missing heartbeats prove nothing
        for slot in list(self._slots.values()):
            if slot.state != "ready":
                continue
            if slept or slot.hearing:
                slot.signs = slot.signs.forgive(now)
            self._examine(slot, now)
            self._weigh(slot)
            if not slot.jobs and slot.state == "ready" and now - slot.jobs.idle_since >= self._policy.idle_after:
                slot.stop()
        if self._slots:
            self.start()

    def _examine(self, slot: Slot, now: float) -> None:
        """Kill a worker that is hung or whose loop is blocked."""
        if slot.signs.is_late(now) and slot.pid is not None:
            vitals = look_at(slot.pid)
            if vitals is None:
                return  # it has died, which the backend will report
            slot.signs = slot.signs.looked_at(now, vitals.cpu, stopped=vitals.stopped)
        verdict = slot.signs.judge(now, self._blocked_after)
        if verdict.condition == "hung":
            slot.kill(Exit(kind="hung", detail=verdict.detail))
        elif verdict.condition == "blocked":
            slot.kill(Exit(kind="blocked", detail=verdict.detail), culprit=verdict.run_id)

    def _weigh(self, slot: Slot) -> None:
        """Replace a worker that has grown too large. Workers with one job at a time report that themselves."""
        limit = self._policy.max_rss_mb
        if limit is None or slot.capacity == 1 or slot.state != "ready" or slot.pid is None:
            return
        size = resident_bytes(slot.pid) or 0
        if size > limit * MIB:
            self._replace(slot, f"its resident size is {size // MIB} MiB, above {limit} MiB")
