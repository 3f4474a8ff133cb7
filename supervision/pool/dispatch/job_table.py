"""All unfinished jobs of a pool, and the delivery of events to their owners."""

from collections.abc import Callable, Iterator

from loguru import logger

from greenroom.supervision.jobs import Assigned, Job, JobEvent, Unavailable
from greenroom.supervision.pool.dispatch.job_queues import Queues
from greenroom.supervision.pool.workers.pending_job import PendingJob


class JobTable:
    """The unfinished jobs of a pool by token, and the queues of those that wait. Reactor thread only."""

    def __init__(self, defer: Callable[..., None]) -> None:
        """Create an empty table. ``defer`` makes a call after those under way."""
        self._defer = defer
        self.queues = Queues()
        self.dropped = 0
        """Number of messages of workers for which no job waits: late results, and messages of past lives."""
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
        """Add a submitted job."""
        self._jobs[job.token] = pending = PendingJob(job)
        return pending

    def find(self, token: str) -> PendingJob | None:
        """Return an unfinished job, or None."""
        return self._jobs.get(token)

    def remove(self, pending: PendingJob) -> None:
        """Remove a job that ends."""
        del self._jobs[pending.job.token]

    def reply(self, job: Job, event: JobEvent) -> None:
        """Send an event to a job's owner. An exception of its callback is logged and not raised.

        What can follow from an order at once is sent after it, so that the owner hears nothing while it gives an order.
        """
        if isinstance(event, (Assigned, Unavailable)):
            self._defer(_tell, job, event)
        else:
            _tell(job, event)


def _tell(job: Job, event: JobEvent) -> None:
    try:
        job.reply(event)
    except Exception as error:  # noqa: BLE001  it must not affect the next job
        logger.opt(exception=error).error("the owner of job {} could not take {}", job.token, type(event).__name__)
