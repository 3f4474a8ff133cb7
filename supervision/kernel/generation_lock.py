"""The generation lock: an orchestrator that starts uses it to find and end the processes that a dead one has left.

The lock is on an open file that keeper, zygote and workers inherit, so it cannot be acquired while any of them lives.
The file also holds a random text. That text and the file's inode give a mark, which every process of every generation
carries (see ``orphans``). So executed grandchildren, which inherit no descriptor, are found too. A copy of the file
has another mark, so it does not find the original's processes.
"""

import contextlib
import fcntl
import os
import re
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final

from greenroom.messages.core.errors import JournalError
from greenroom.supervision.kernel import orphans
from greenroom.supervision.kernel.fork_safe_files import close_unshared, open_unshared

_WRITTEN: Final = re.compile(rb"[0-9a-f]{32}")
_READ_BYTES: Final = 64
_TIMEOUT: Final = 20.0
"""Seconds in which each remaining process must end. On a busy machine this takes long."""


class GenerationLock:
    """A lock file, acquired before the first process of a generation starts and held until the last has ended.

    It cannot tell a dead orchestrator from a live one: the caller of ``acquire`` must ensure that there is no other.

    Args:
        path: The file, in an existing directory that only this user can access.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Keep the path; the file is not opened yet."""
        self.path = Path(path)
        self._descriptor: int | None = None
        self._token = ""

    def __repr__(self) -> str:
        """Return whether it is held."""
        return f"<GenerationLock {self.path} {'free' if self._descriptor is None else 'held'}>"

    @property
    def token(self) -> str:
        """The mark of this lock, which depends on the file and its place. Available once the lock is held."""
        return self._token

    def fileno(self) -> int:
        """Return the descriptor that the processes of this generation inherit. It is read-only.

        Raises:
            RuntimeError: The lock is not held.
        """
        if self._descriptor is None:
            msg = f"{self!r} must be acquired before processes can inherit it"
            raise RuntimeError(msg)
        return self._descriptor

    def acquire(self) -> int:
        """End every process of earlier generations, then acquire the lock. Return the number of processes. Blocks.

        Raises:
            TimeoutError: A process cannot be killed, or belongs to another user.
            JournalError: The file is accessible to other users, or has unknown contents. No process was killed.
            OSError: The file cannot be opened.
        """
        written = _contents(self.path)
        descriptor = open_unshared(self.path, os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            self._token = _mark(written, status)
            tests = [orphans.carries(self._token), orphans.holds_lock(status.st_dev, status.st_ino)]
            ended = orphans.end_all(tests, until=lambda: _locked(descriptor), timeout=_TIMEOUT)
        except TimeoutError as error:
            close_unshared(descriptor)
            msg = f"{error}; it holds {self.path}"
            raise TimeoutError(msg) from error
        except BaseException:
            close_unshared(descriptor)
            raise
        self._descriptor = descriptor
        return ended

    def release(self) -> None:
        """Close the file. The lock remains for as long as another process of the generation lives."""
        if self._descriptor is not None:
            close_unshared(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):  # another process still has the open file
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _contents(path: Path) -> bytes:
    """Return the contents of the file; write a random text first if it is empty.

    Raises:
        JournalError: The file has unknown contents.
    """
    descriptor = open_unshared(path, os.O_RDWR | os.O_CREAT)
    try:
        found = os.pread(descriptor, _READ_BYTES, 0)
        if not found:
            found = secrets.token_hex(16).encode()
            os.pwrite(descriptor, found, 0)
    finally:
        close_unshared(descriptor)
    if not _WRITTEN.fullmatch(found):
        msg = (
            f"{path} does not hold the 32 digits that were written there, so what an earlier orchestrator may have "
            "left running cannot be told from other processes: see with `ps` that nothing of it runs, then remove the "
            "file"
        )
        raise JournalError(msg)
    return found


def _mark(written: bytes, status: os.stat_result) -> str:
    return sha256(b"%s %d %d" % (written, status.st_dev, status.st_ino)).hexdigest()[:32]
