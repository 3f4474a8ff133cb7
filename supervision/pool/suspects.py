"""Jobs that were running when a process died that they shared with others.

They run alone next, to be cleared or charged.
"""

from collections import OrderedDict
from typing import Final

from greenroom.supervision.jobs import Job

ALONE_AFTER: Final = 2
"""Deaths as one suspect of several, after which a job runs alone."""
MOST: Final = 10_000
"""Suspects remembered; the oldest are forgotten first."""


class Suspects:
    """Counts unexplained deaths of what is shared, by run and step, so across attempts. Reactor thread only."""

    def __init__(self) -> None:
        """Create it without suspects."""
        self._deaths: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, job: Job) -> None:
        """Note that the job was running when that died, and was not the only one."""
        work = _work(job)
        self._deaths[work] = self._deaths.pop(work, 0) + 1
        if len(self._deaths) > MOST:
            self._deaths.popitem(last=False)

    def clear(self, job: Job) -> None:
        """Note that the job has ended otherwise."""
        if self._deaths:
            self._deaths.pop(_work(job), None)

    def is_grave(self, job: Job, recorded: int = 0) -> bool:
        """Return whether the job must run alone. ``recorded`` counts deaths that are known from elsewhere."""
        return (self.count(job, recorded) if self._deaths else recorded) >= ALONE_AFTER

    def count(self, job: Job, recorded: int = 0) -> int:
        """Count the deaths that the job was near."""
        return max(recorded, self._deaths.get(_work(job), 0) if self._deaths else 0)


def _work(job: Job) -> tuple[str, str]:
    """Name the work apart from its attempt."""
    return job.run_id, getattr(job.frame, "key", "")
