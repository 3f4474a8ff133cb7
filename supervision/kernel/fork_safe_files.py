"""Descriptors that a fork of this process must not inherit.

A file lock is held for as long as any process has the open file. If a script forks, as ``multiprocessing`` does, its
child would still hold a lock that the orchestrator has released. The next generation would take the child for an
orphaned worker and kill it.
"""

import errno
import os
from contextlib import suppress

from greenroom.messages.core.errors import JournalError
from greenroom.messages.secrets.file_trust import objection

_open: set[int] = set()
"""Descriptors that are closed in every child of ``os.fork``. Executed programs inherit only explicitly passed ones."""


def open_unshared(path: str | os.PathLike[str], flags: int, *, secret: bool = False) -> int:
    """Open a private file that forks do not inherit; ``close_unshared`` closes it.

    Links are not followed, and the open file is checked, so that other users cannot substitute another file.

    Raises:
        OSError: The file cannot be opened.
        JournalError: The file belongs to another user, has several names, or is no regular file. Or other users can
            write it; if it is ``secret``, read it.
    """
    path = os.fspath(path)
    try:  # without blocking, as it may be a pipe that no other process has open
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise JournalError(objection(path, os.lstat(path), os.geteuid()) or f"{path}: {error.strerror}") from error
        raise
    _open.add(descriptor)
    why = objection(path, os.fstat(descriptor), os.geteuid(), secret=secret)
    if why:
        close_unshared(descriptor)
        raise JournalError(why)
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
