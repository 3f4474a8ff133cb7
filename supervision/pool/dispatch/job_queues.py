"""Queues of the jobs of a pool that wait, by the kind of worker that they need."""

from collections import OrderedDict

from greenroom.supervision.pool.workers.pending_job import PendingJob
from greenroom.supervision.pool.workers.worker_slot import Slot


class Queues:
    """Three queues, first come first served. Written by the dispatcher, on the reactor's thread only."""

    def __init__(self) -> None:
        """Create three empty queues."""
        self.shared: OrderedDict[str, PendingJob] = OrderedDict()
        """For any worker of the pool. All three by token."""
        self.solo: OrderedDict[str, PendingJob] = OrderedDict()
        """For a temporary worker without other jobs."""
        self.isolated: OrderedDict[str, PendingJob] = OrderedDict()
        """For a temporary worker below its own zygote."""

    def __len__(self) -> int:
        """Return the number of jobs that wait."""
        return len(self.shared) + len(self.solo) + len(self.isolated)

    def of(self, slot: Slot) -> OrderedDict[str, PendingJob]:
        """Return the queue from which a worker gets its jobs."""
        if not slot.solo:
            return self.shared
        return self.solo if slot.backend is None else self.isolated

    def put_first(self, pending: PendingJob, slot: Slot) -> None:
        """Put a job that a worker never began back at the head of that worker's queue."""
        queue = self.of(slot)
        queue[pending.job.token] = pending
        queue.move_to_end(pending.job.token, last=False)

    def remove(self, token: str) -> None:
        """Remove a job, if it waits."""
        for queue in (self.shared, self.solo, self.isolated):
            queue.pop(token, None)

    def take_all(self) -> list[PendingJob]:
        """Remove and return all jobs that wait."""
        waiting = [*self.shared.values(), *self.solo.values(), *self.isolated.values()]
        for queue in (self.shared, self.solo, self.isolated):
            queue.clear()
        return waiting
