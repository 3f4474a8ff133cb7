"""The limit of open files, sockets and pipes of this process."""

import errno
import resource
from typing import Final

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
"""Error numbers that mean that the machine or this process has run out of a resource for now."""
ENOUGH: Final = 65_536
"""The soft limit is not raised above this value. The kernel's ceiling may be a billion."""


def soft_limit() -> int:
    """Return the soft limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def enough(soft: int) -> int:
    """Return the soft limit that an orchestrator needs, given the present one.

    Shells start programs with 1,024 because of ``select()``, which is not used here. Workers have their own limit (see
    ``process/resource_limits.py``).
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    return soft if soft == resource.RLIM_INFINITY else max(soft, wanted)


def set_soft_limit(soft: int) -> None:
    """Set the soft limit of open files, if the hard limit allows it. Files that are already open stay open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or soft <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def share(parts: int, most: int) -> int:
    """Return how many descriptors one purpose may use: one of ``parts`` equal parts of the limit, at most ``most``."""
    soft = soft_limit()
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // parts))
