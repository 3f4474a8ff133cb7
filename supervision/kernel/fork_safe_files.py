"""Descriptors that a fork of this process must not inherit.

A file lock is held for as long as any process has the open file. If a script forks, as ``multiprocessing`` does, its
child would still hold a lock that the orchestrator has released. The next generation would take the child for an
orphaned worker and kill it.
"""

import os
from contextlib import suppress

from greenroom.messages.secrets.file_trust import open_private

_open: set[int] = set()
"""Descriptors that are closed in every child of ``os.fork``. Executed programs inherit only explicitly passed ones."""


def open_unshared(path: str | os.PathLike[str], flags: int, *, secret: bool = False) -> int:
    """Open a private file that forks do not inherit, as ``open_private`` does; ``close_unshared`` closes it."""
    descriptor = open_private(path, flags, secret=secret)
    _open.add(descriptor)
    return descriptor


def close_unshared(descriptor: int) -> None:
    """Close a descriptor that ``open_unshared`` returned."""
    _open.discard(descriptor)
    with suppress(OSError):
        os.close(descriptor)


def _close_all() -> None:
    for descriptor in tuple(_open):
        close_unshared(descriptor)


os.register_at_fork(after_in_child=_close_all)
