"""Starts workers of a pool for the jobs that wait."""

from collections.abc import Mapping

from greenroom.supervision.pool.dispatch.job_queues import Queues
from greenroom.supervision.pool.dispatch.suspects import ALONE_AFTER, Suspects
from greenroom.supervision.pool.workers.pending_job import PendingJob
from greenroom.supervision.pool.workers.worker_supervisor import WorkerSupervisor


class Scaling:
    """Starts workers for waiting jobs. Reactor thread only.

    Args:
        supervisor: The workers of the pool.
        queues: The jobs that wait.
        near_zygotes: Jobs whose workers died with their zygote.
    """

    def __init__(self, supervisor: WorkerSupervisor, queues: Queues, near_zygotes: Suspects) -> None:
        """Keep the arguments; ``grow`` starts workers."""
        self._supervisor = supervisor
        self._queues = queues
        self._near_zygotes = near_zygotes

    def grow(self) -> None:
        """Start as many workers as the waiting jobs need and the pool's size allows."""
        supervisor, queues = self._supervisor, self._queues
        waiting = len(queues.shared)
        more = waiting > 0 and supervisor.permanent < supervisor.size
        if not (more or queues.solo or queues.isolated):
            return
        room = supervisor.room()
        if more:
            slots = supervisor.slots.values()
            idle_or_going = {"ready", "stopping"}
            begun = sum(slot.state not in idle_or_going for slot in slots if slot.restart != "temporary")
            coming = begun * supervisor.capacity
            while coming < waiting and supervisor.permanent < supervisor.size and room > 0:
                supervisor.grow()
                coming += supervisor.capacity
                room -= 1
        if queues.solo:
            for _ in range(min(len(queues.solo) - self._free(queues.solo), self._seats(), room)):
                supervisor.grow("temporary")
        if queues.isolated:
            self._grow_isolated(room)

    def is_exclusive(self, pending: PendingJob) -> bool:
        """Return whether a job is a suspect in so many deaths that no other suspect may run beside it."""
        return self._near_zygotes.count(pending.job, pending.job.zygotes_lost) > ALONE_AFTER

    def _free(self, queue: Mapping[str, PendingJob]) -> int:
        """Return the number of temporary workers that are about to take jobs from a queue."""
        slots = [slot for slot in self._supervisor.slots.values() if self._queues.of(slot) is queue]
        return sum(not slot.jobs and slot.state not in {"stopping", "ending"} for slot in slots)

    def _seats(self) -> int:
        """Return the number of temporary workers that may be started besides the existing ones."""
        return self._supervisor.size - sum(slot.solo for slot in self._supervisor.slots.values())

    def _grow_isolated(self, room: int) -> None:
        """Start workers below their own zygotes, but none beside a job that may be killing all zygotes."""
        isolated_backends, queue = self._supervisor.isolated_backends, self._queues.isolated
        assert isolated_backends is not None, "without isolated backends no job waits for one"
        free = self._free(queue)
        for pending in list(queue.values())[free : free + min(self._seats(), room)]:
            exclusive = self.is_exclusive(pending)
            if not isolated_backends.has_room(exclusive=exclusive):
                return
            backend = isolated_backends.open(self._supervisor.key, self._supervisor.policy, exclusive=exclusive)
            self._supervisor.grow("temporary", backend)
