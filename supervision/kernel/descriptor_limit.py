"""How many files, sockets and pipes this process may have open at once."""

import errno
import resource
from typing import Final

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
"""Error numbers that say that the machine, or this process's share of it, has run out for now."""
ENOUGH: Final = 65_536
"""A soft limit no lower than this is left alone. The kernel's own ceiling may be a billion."""


def soft_limit() -> int:
    """Return the soft limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def enough(soft: int) -> int:
    """Return the soft limit that an orchestrator needs, given the one that holds.

    Shells start programs with 1,024 for the sake of ``select()``, which nothing here uses. Workers are given a limit
    of their own (see ``process/resource_limits.py``).
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    return soft if soft == resource.RLIM_INFINITY else max(soft, wanted)


def set_soft_limit(soft: int) -> None:
    """Set the soft limit of open files, if the hard one allows it. Files that are open above it stay open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or soft <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def share(parts: int, most: int) -> int:
    """Return how many descriptors one use of them may take: one of ``parts`` equal parts, and no more than ``most``."""
    soft = soft_limit()
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // parts))
