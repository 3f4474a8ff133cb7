"""When a worker's process is replaced between two jobs, by its wear and the pool's limits. Pure."""

from typing import Final

from greenroom.messages.core.frozen import mutable

ERRORS_IN_A_ROW: Final = 3
"""Jobs in a row that may fail in one process before it is replaced, as the process may be the cause. A process that
runs many jobs at once is allowed as many errors as jobs, as these may fail together for other reasons."""


@mutable
class Wear:
    """Wear of one process of a worker. Written by the pool."""

    jobs: int = 0
    """Number of jobs that it was given."""
    errors: int = 0
    """Number of jobs that failed in a row, up to the newest one."""
    spoilt: str = ""
    """What a job has left behind in the process, as reported or measured; empty if nothing."""

    def ended(self, *, succeeded: bool, spoilt: str) -> None:
        """Record the result of a job."""
        self.errors = 0 if succeeded else self.errors + 1
        self.spoilt = self.spoilt or spoilt


def worn_out(wear: Wear, *, capacity: int, max_jobs: int | None, fresh: bool) -> str:
    """Return why a process must be replaced before its next job; empty if it need not be.

    Args:
        wear: Wear of the process.
        capacity: Jobs that it runs at once.
        max_jobs: Most jobs of one process; None means no bound.
        fresh: Whether each job gets its own process.
    """
    if wear.spoilt:
        return wear.spoilt
    if fresh and wear.jobs:
        return "each attempt has a process of its own"
    if max_jobs is not None and wear.jobs >= max_jobs:
        return f"it has had {wear.jobs} {'job' if wear.jobs == 1 else 'jobs'}"
    if wear.errors >= max(ERRORS_IN_A_ROW, capacity):
        return f"{wear.errors} jobs in a row failed in it"
    return ""
