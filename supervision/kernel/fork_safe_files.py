"""Descriptors that a fork of this process must not have.

A lock stands on an open file, and is held for as long as any process has that file open. Where a script forks, as
``multiprocessing`` does, its child would go on holding what the orchestrator has let go of, and the next generation
would take it for a worker left behind and kill it.
"""

import errno
import os
from contextlib import suppress

from greenroom.messages.core.errors import JournalError
from greenroom.messages.secrets.file_trust import objection

_open: set[int] = set()
"""Closed in every child that ``os.fork`` makes. Programs that are executed get what they are handed, and no others."""


def open_unshared(path: str | os.PathLike[str], flags: int, *, secret: bool = False) -> int:
    """Open a file that is ours alone, for this process alone; ``close_unshared`` closes it.

    No link is followed, and what was opened is looked at, so nobody can lead us to another file.

    Raises:
        OSError: It cannot be opened.
        JournalError: It is not ours, others can write it (where it is ``secret``, read it), it has several names, or it
            is no regular file.
    """
    path = os.fspath(path)
    try:  # without waiting, where it is a pipe that nobody else has open
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
    """Close what ``open_unshared`` gave."""
    _open.discard(descriptor)
    with suppress(OSError):
        os.close(descriptor)


def _close_all() -> None:
    for descriptor in tuple(_open):
        close_unshared(descriptor)


os.register_at_fork(after_in_child=_close_all)
