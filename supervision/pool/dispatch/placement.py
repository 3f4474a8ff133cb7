"""Chooses the worker of a pool for a job."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Final

from greenroom.supervision.jobs import Job
from greenroom.supervision.pool.workers.pending_job import PendingJob
from greenroom.supervision.pool.workers.worker_slot import Slot
from greenroom.supervision.pool.workers.worker_supervisor import WorkerSupervisor

AVOID_FOR: Final = 1.0
"""Seconds that a retry waits for another worker than the one it failed in."""


class Placement:
    """Chooses workers for jobs. Reactor thread only.

    Args:
        loop: The reactor's loop.
        supervisor: The workers of the pool.
        hand_out: Called when a job that waited for another process may be assigned to any.
    """

    def __init__(self, loop: AbstractEventLoop, supervisor: WorkerSupervisor, hand_out: Callable[[], None]) -> None:
        """Start without any worker that has room."""
        self._loop = loop
        self._supervisor = supervisor
        self._hand_out = hand_out
        self._room: dict[Slot, None] = {}
        """Workers that can take a job now. Some may no longer be ready; ``find`` skips them."""

    def __bool__(self) -> bool:
        """Return whether any worker may have room."""
        return bool(self._room)

    def add(self, slot: Slot) -> None:
        """Record that a worker has room."""
        self._room[slot] = None

    def remove(self, slot: Slot) -> None:
        """Record that a worker has no room."""
        self._room.pop(slot, None)

    def find(self, pending: PendingJob) -> Slot | None:
        """Return the ready worker with the fewest jobs; of idle ones the last used, so that the others may end.

        A retry waits briefly for another process than the one it failed in, if there can be one.
        """
        room = self._room
        while room:
            slot = next(reversed(room)) if self._supervisor.capacity == 1 else min(room, key=_load)
            if not slot.takes_work:
                del room[slot]
            elif slot.pid != pending.avoid:
                return slot
            else:
                return self._another(pending, slot)
        return None

    def for_question(self, job: Job) -> Slot | None:
        """Return a worker for a question, or None. Questions are short, so a worker without room takes them too."""
        if not job.pressing:
            return None
        ready = [slot for slot in self._supervisor.slots.values() if slot.takes_work and not slot.solo]
        return min(ready, key=_load, default=None)

    def _another(self, pending: PendingJob, avoided: Slot) -> Slot | None:
        """Return another worker for a retry, or start one. If none comes soon, the avoided one is used."""
        others = [slot for slot in self._room if slot is not avoided and slot.takes_work]
        if others:
            return min(others, key=_load)
        supervisor = self._supervisor
        coming = any(slot.state == "starting" and not slot.solo for slot in supervisor.slots.values())
        if not coming and supervisor.permanent < supervisor.size and supervisor.room():
            supervisor.grow()
            coming = True
        if not coming:
            pending.avoid = None
            return avoided
        if pending.timer is None:
            pending.timer = self._loop.call_later(AVOID_FOR, self._avoid_no_longer, pending)
        return None

    def _avoid_no_longer(self, pending: PendingJob) -> None:
        """Let a retry run in any worker, because no other became available soon."""
        pending.timer = pending.avoid = None
        self._hand_out()


def _load(slot: Slot) -> int:
    return len(slot.jobs)
