"""Descriptors that a fork of this process must not have.

A lock stands on an open file, and is held for as long as any process has that file open. Where a script forks, as
``multiprocessing`` does, its child would go on holding what the orchestrator has let go of, and the next generation
would take it for a worker left behind and kill it.
"""

import os
from contextlib import suppress

_open: set[int] = set()
"""Closed in every child that ``os.fork`` makes. Programs that are executed get what they are handed, and no others."""


def open_unshared(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """Open a file for this process alone; ``close_unshared`` closes it.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    _open.add(descriptor)
    return descriptor


def close_unshared(descriptor: int) -> None:
    """Close what ``open_unshared`` gave."""
    _open.discard(descriptor)
    with suppress(OSError):
        os.close(descriptor)


def _close_all() -> None:
    for descriptor in tuple(_open):
        close_unshared(descriptor)


os.register_at_fork(after_in_child=_close_all)
