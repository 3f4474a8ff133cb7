"""When a worker is replaced between two jobs: what its process has been through, against what its pool allows. Pure."""

from dataclasses import dataclass
from typing import Final

ERRORS_IN_A_ROW: Final = 3
"""Jobs in a row that fail in one process before it is replaced: maybe the process is what is wrong with them. Processes
that run many jobs at once are allowed as many errors as they have jobs, since those fail together for other reasons."""


@dataclass(slots=True)
class Wear:
    """What one life of a worker has been through. Written by the pool."""

    jobs: int = 0
    """Jobs it was given."""
    errors: int = 0
    """Jobs in a row, up to the newest one, that did not succeed."""
    spoilt: str = ""
    """What a job has left behind in it, by its own account or as it was measured."""

    def ended(self, *, succeeded: bool, spoilt: str) -> None:
        """Take in how a job ended."""
        self.errors = 0 if succeeded else self.errors + 1
        self.spoilt = self.spoilt or spoilt


def worn_out(wear: Wear, *, capacity: int, max_jobs: int | None, fresh: bool) -> str:
    """Return why a process is to be replaced before its next job, or nothing.

    Args:
        wear: What it has been through.
        capacity: Jobs it runs at once.
        max_jobs: Most jobs of one process, or None.
        fresh: Whether each job is to have a process of its own.
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
