"""The generation lock: how an orchestrator's start finds and ends what a dead one has left behind.

The lock stands on an open file that keeper, zygote and workers inherit, so it cannot be taken while any of them lives.
The file also names the home for good, as a random text that every process of every generation carries (see
``lineage``): so executed grandchildren, which inherit no descriptor, are found too.
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

from understudy.supervision import lineage
from understudy.supervision.unshared import close_unshared, open_unshared

_TOKEN_BYTES: Final = 64


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
        """Say whether it is held."""
        return f"<GenerationLock {self.path} {'free' if self._descriptor is None else 'held'}>"

    @property
    def token(self) -> str:
        """The text that names this home. Known once the lock is held."""
        return self._token

    def fileno(self) -> int:
        """Give the descriptor that the processes of this generation inherit.

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
            TimeoutError: One of them cannot be killed.
        """
        descriptor = open_unshared(self.path, os.O_RDWR | os.O_CREAT)
        try:
            self._token = _read_token(descriptor)
            status = os.fstat(descriptor)
            tests = [lineage.carries(self._token), lineage.holds_lock(status.st_dev, status.st_ino)]
            ended = 0
            while True:
                ended += lineage.end_all(tests)
                with contextlib.suppress(BlockingIOError):  # one was forked since we looked
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
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


def _read_token(descriptor: int) -> str:
    """Read the text that names the home; write it where the file is new."""
    token = os.pread(descriptor, _TOKEN_BYTES, 0).decode("ascii", errors="replace").strip()
    if not token:
        token = secrets.token_hex(16)
        os.pwrite(descriptor, token.encode(), 0)
    return token
