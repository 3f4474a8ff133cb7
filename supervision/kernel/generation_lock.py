"""The generation lock: how an orchestrator's start finds and ends what a dead one has left behind.

The lock stands on an open file that keeper, zygote and workers inherit, so it cannot be taken while any of them lives.
The file also holds a random text. Of that, and of the file's place on the disk, a mark is made that every process of
every generation carries (see ``orphans``): so executed grandchildren, which inherit no descriptor, are found too. A
copy of the file is another file, so its mark is another one, and it finds none of the original's processes.
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
"""Seconds in which each process that was left behind has to be gone. On a machine with much to do, dying takes long."""


class GenerationLock:
    """A lock file, taken before the first process of a generation is started and held until the last has ended.

    It does not tell a dead orchestrator from a live one: who calls ``acquire`` has made sure that there is no other.

    Args:
        path: The file; its directory exists and is ours alone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Nothing is opened yet."""
        self.path = Path(path)
        self._descriptor: int | None = None
        self._token = ""

    def __repr__(self) -> str:
        """Return whether it is held."""
        return f"<GenerationLock {self.path} {'free' if self._descriptor is None else 'held'}>"

    @property
    def token(self) -> str:
        """The text that names this lock: the same for one file at one place. Known once the lock is held."""
        return self._token

    def fileno(self) -> int:
        """Return the descriptor that the processes of this generation inherit. Nobody can write through it.

        Raises:
            RuntimeError: The lock is not held.
        """
        if self._descriptor is None:
            msg = f"{self!r} must be acquired before processes can inherit it"
            raise RuntimeError(msg)
        return self._descriptor

    def acquire(self) -> int:
        """End every process an earlier generation has left, then take the lock; give how many those were. Blocks.

        Raises:
            TimeoutError: One of them cannot be killed, or belongs to another user.
            JournalError: The file is not ours alone, or holds something else than what is written there. Nothing is
                killed then.
            OSError: It cannot be opened.
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
        """Let go of the file; the lock stays for as long as another process of the generation lives."""
        if self._descriptor is not None:
            close_unshared(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):  # another process has the open file still
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _contents(path: Path) -> bytes:
    """Return the text that the file holds; write one where it is new, or was never written.

    Raises:
        JournalError: It is something else than what is written there.
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
