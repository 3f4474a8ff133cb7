"""Jobs that are suspects, because a process that they shared with other jobs has died.

After several such deaths a job runs alone, so that it can be cleared or charged.
"""

from collections import OrderedDict
from typing import Final

from greenroom.supervision.jobs import Job

ALONE_AFTER: Final = 2
"""Deaths as one suspect of several, after which a job runs alone."""
MOST: Final = 10_000
"""Most suspects kept; the oldest are dropped first."""


class Suspects:
    """Counts unexplained deaths of shared processes, by run and step and so across attempts. Reactor thread only."""

    def __init__(self) -> None:
        """Start without suspects."""
        self._deaths: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, job: Job) -> None:
        """Record that the job was one of several that ran when a shared process died."""
        work = _work(job)
        self._deaths[work] = self._deaths.pop(work, 0) + 1
        if len(self._deaths) > MOST:
            self._deaths.popitem(last=False)

    def clear(self, job: Job) -> None:
        """Remove a job that has ended in another way."""
        if self._deaths:
            self._deaths.pop(_work(job), None)

    def must_run_alone(self, job: Job, recorded: int = 0) -> bool:
        """Return whether the job must run alone. ``recorded`` is a number of deaths known from elsewhere."""
        return (self.count(job, recorded) if self._deaths else recorded) >= ALONE_AFTER

    def count(self, job: Job, recorded: int = 0) -> int:
        """Return the number of deaths in which the job is a suspect."""
        return max(recorded, self._deaths.get(_work(job), 0) if self._deaths else 0)


def _work(job: Job) -> tuple[str, str]:
    """Return the key of a job that all its attempts share."""
    return job.run_id, getattr(job.frame, "key", "")
