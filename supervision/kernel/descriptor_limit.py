"""How many files, sockets and pipes this process may have open at once."""

import errno
import resource
from typing import Final

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
"""Error numbers that say that the machine, or this process's share of it, has run out for now."""
ENOUGH: Final = 65_536
"""A soft limit no lower than this is left alone. The kernel's own ceiling may be a billion."""


def raise_limit() -> int:
    """Raise the soft limit of open files as far as the hard one allows, and return the limit that held before.

    Shells start programs with 1,024 for the sake of ``select()``, which nothing here uses. Workers are given a limit
    of their own (see ``limits``). Process-wide; any thread.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft


def restore_limit(soft: int) -> None:
    """Set the soft limit of open files back to ``soft``. What is open above it stays open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or soft <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def share(parts: int, most: int) -> int:
    """Return how many descriptors one use of them may take: one of ``parts`` equal parts, and no more than ``most``."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // parts))
