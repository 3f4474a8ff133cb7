"""The jobs of one life of a worker, and the wear of its process."""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Iterator

from greenroom.supervision.policy.recycling import Wear
from greenroom.supervision.pool.workers.pending_job import PendingJob


class AssignedJobs:
    """The jobs of one life. A slot has a new one for each life. Reactor thread only.

    Args:
        capacity: Most jobs at once.
    """

    def __init__(self, capacity: int) -> None:
        """Create the record of a life without jobs."""
        self.wear = Wear()
        self.served = False
        """Whether this life has finished a job, or a turn of one."""
        self.idle_since = 0.0
        """When this life became ready, or its last job was removed, by the loop's clock."""
        self._capacity = capacity
        self._jobs: dict[str, PendingJob] = {}
        """By their name in answers."""
        self._turns: deque[tuple[PendingJob, int]] = deque()
        """Turns of programs and questions that are not answered yet, in order: the first one holds the loop. The number
        is how many bytes the worker must have read in total to have received it."""
        self._aborted = 0
        """Number of jobs that were asked to abort. Until they have ended, this life gets no further jobs."""

    def __len__(self) -> int:
        """Return the number of jobs."""
        return len(self._jobs)

    def __iter__(self) -> Iterator[PendingJob]:
        """Iterate over the jobs, oldest first."""
        return iter(self._jobs.values())

    @property
    def is_full(self) -> bool:
        """Whether this life has as many jobs as its capacity allows."""
        return len(self._jobs) >= self._capacity

    @property
    def takes_more(self) -> bool:
        """Whether there is room for another job, and no job is being aborted."""
        return not self._aborted and len(self._jobs) < self._capacity

    def find(self, name: str | None) -> PendingJob | None:
        """Return the job with the name that an answer gives, or None."""
        return self._jobs.get(name) if name is not None else None

    def add(self, job: PendingJob) -> None:
        """Record that this life was given a job."""
        self.wear.jobs += 1
        self._jobs[job.work] = job

    def abort(self) -> None:
        """Record that one of the jobs was asked to abort."""
        self._aborted += 1

    def remove(self, job: PendingJob, loop: AbstractEventLoop) -> bool:
        """Remove a job that has ended. Return False if this life does not have it."""
        if self._jobs.get(job.work) is not job:
            return False
        del self._jobs[job.work]
        if job.cut is not None and job.sent:
            self._aborted -= 1
        if not self._jobs:
            self.idle_since = loop.time()
        return True

    def note_served(self) -> None:
        """Record that this life has finished a job, or a turn of one."""
        self.served = True

    def note_result(self, *, succeeded: bool, spoilt: str) -> None:
        """Record the result of a job.

        Args:
            succeeded: Whether the job succeeded.
            spoilt: What the job has left behind in the process; empty if nothing.
        """
        self.wear.ended(succeeded=succeeded, spoilt=spoilt)

    def take_all(self) -> list[PendingJob]:
        """Remove and return all jobs, oldest first, because this life is over."""
        jobs, self._jobs = list(self._jobs.values()), {}
        return jobs

    # ------------------------------------------------------------ who holds the loop

    def ask_turn(self, job: PendingJob, mark: int) -> None:
        """Record that a job was asked for a turn or an answer.

        Args:
            job: The program or the question.
            mark: How many bytes the worker must have read in total to have received the request.
        """
        self._turns.append((job, mark))

    def end_turn(self, job: PendingJob) -> None:
        """Record that the turn or the answer of a job has arrived.

        They arrive in order. So earlier turns are over too, if they belong to jobs that this life no longer has.
        """
        turns = self._turns
        if turns and turns[0][0] is job:  # as nearly always
            turns.popleft()
            return
        while turns and turns[0][0] is not job and self._jobs.get(turns[0][0].work) is not turns[0][0]:
            turns.popleft()
        asked = next((turn for turn in turns if turn[0] is job), None)
        if asked is not None:
            turns.remove(asked)

    def holder(self, read: int, culprit: str | None) -> PendingJob | None:
        """Return the job that held the loop of a worker that has died, or None.

        Args:
            read: Number of bytes that the worker had read. A turn with a larger mark had not begun.
            culprit: Name of the job for which the worker was ended because it blocked the loop.
        """
        if culprit is not None:
            return self._jobs.get(culprit)
        return self._turns[0][0] if self._turns and self._turns[0][1] <= read else None
