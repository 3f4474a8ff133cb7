"""Every job of a pool that has not ended, and the way to its owner."""

from collections.abc import Iterator

from loguru import logger

from greenroom.supervision.jobs import Job, JobEvent
from greenroom.supervision.pool.job_queues import Queues
from greenroom.supervision.pool.pending_job import PendingJob


class JobTable:
    """The unfinished jobs of a pool by token, and the queues of those that wait. Reactor thread only."""

    def __init__(self) -> None:
        """Create an empty table."""
        self.queues = Queues()
        self.dropped = 0
        """Messages of workers about jobs that nobody waits for: late results, and messages of past lives."""
        self._jobs: dict[str, PendingJob] = {}

    def __len__(self) -> int:
        """Return the number of unfinished jobs."""
        return len(self._jobs)

    def __iter__(self) -> Iterator[PendingJob]:
        """Iterate over the unfinished jobs, oldest first."""
        return iter(self._jobs.values())

    def __contains__(self, token: str) -> bool:
        """Return whether the job has not ended."""
        return token in self._jobs

    def add(self, job: Job) -> PendingJob:
        """Add a job that was submitted."""
        self._jobs[job.token] = pending = PendingJob(job)
        return pending

    def find(self, token: str) -> PendingJob | None:
        """Return an unfinished job, or None."""
        return self._jobs.get(token)

    def remove(self, pending: PendingJob) -> None:
        """Remove a job that ends."""
        del self._jobs[pending.job.token]

    def reply(self, job: Job, event: JobEvent) -> None:
        """Tell a job's owner what has become of it. An exception of the owner's is logged and goes no further."""
        try:
            job.reply(event)
        except Exception as error:  # noqa: BLE001  the next job must not suffer for it
            logger.opt(exception=error).error("the owner of job {} could not take {}", job.token, type(event).__name__)
