"""The home: the folder where an orchestrator keeps its journal, and where other processes find it."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, Final, cast

from understudy.messages.errors import HomeInUse, JournalError
from understudy.supervision import linux
from understudy.supervision.unshared import close_unshared, open_unshared
from understudy.workflows.private import check_folder, make_folder, read_private, real_path, write_private

DEFAULT: Final = ".understudy"
TOKEN_VARIABLE: Final = "UNDERSTUDY_TOKEN"  # noqa: S105  a name, not a token
"""Environment variable that goes before the token in a home."""


class Home:
    """Paths and locks of one home. Nothing is created before it is needed.

    Args:
        path: The folder; None means ``UNDERSTUDY_HOME``, or ``.understudy`` in the current one.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Only remember where it is."""
        self.path: Final = Path(path or os.environ.get("UNDERSTUDY_HOME") or DEFAULT).absolute()

    def __repr__(self) -> str:
        """Say where it is."""
        return f"<Home {self.path}>"

    @property
    def socket(self) -> Path:
        """Where a running orchestrator takes commands."""
        return self.path / "control.sock"

    @property
    def record(self) -> Path:
        """What the last orchestrator of this home says of itself, as JSON: its pid, its journal, and its ``url``."""
        return self.path / "orchestrator.json"

    @property
    def token(self) -> Path:
        """What whoever speaks HTTP to the orchestrator has to know. Its owner's alone; made by the first server."""
        return self.path / "token"

    @property
    def journal(self) -> Path:
        """The journal of this home: the one its last orchestrator used.

        Raises:
            JournalError: The home, or what says so in it, may be somebody else's.
        """
        recorded = self.read_record().get("journal")
        return real_path(Path(recorded) if isinstance(recorded, str) else self.path / "journal.db")

    def read_record(self) -> dict[str, Any]:
        """Give what ``record`` holds, empty where there is none.

        Raises:
            JournalError: The home or the file may be somebody else's.
        """
        self.check()
        try:
            found = json.loads(read_private(self.record) or "")
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def read_token(self) -> str | None:
        """Give the token that a server has left here, None where there is none.

        Raises:
            JournalError: The home or the file may be somebody else's, or others may have read the file.
            OSError: It cannot be read.
        """
        self.check()
        try:
            text = read_private(self.token, secret=True)
        except UnicodeDecodeError:
            return ""
        return None if text is None else text.strip()

    def write_record(self, **facts: Any) -> None:
        """Replace ``record``, readable by its owner alone."""
        write_private(self.record, json.dumps({"pid": os.getpid(), **facts}))

    def check(self) -> None:
        """Refuse a folder that is somebody else's: what lies in it decides which code runs, and who is spoken to.

        Raises:
            JournalError: It does not belong to us or root, or others can write it or replace it.
        """
        check_folder(self.path)

    def create(self) -> None:
        """Make the folder, open to its owner alone.

        Raises:
            JournalError: It cannot be made, or lies there and is somebody else's.
        """
        try:
            make_folder(self.path)
        except OSError as error:
            why = f"the home {self.path} cannot be created ({error.strerror})"
            msg = f"{why}; choose another with --home or UNDERSTUDY_HOME"
            raise JournalError(msg) from error
        self.check()


_SURE: Final = 0.05
"""Seconds that the owner of a lock has to be seen alive before somebody else is refused."""
_DYING: Final = 20.0
"""Seconds that an owner which was killed may take until its files are closed."""
_UNKNOWN: Final = 2.0
"""Seconds that an owner may take whose pid is written nowhere. To meet one that is alive is rare: it takes a mount."""
_PAUSE: Final = 0.005
"""Seconds between two attempts."""

_held: dict[tuple[int, int], int] = {}
"""Device and inode of each file that is locked here, and by which process: a fork has this from its parent."""


class OwnerLock:
    """A file that one process at a time holds. The kernel lets go of it when the process ends, however it ends.

    Args:
        path: The file. It is made where it is missing, and holds the owner's pid, for the error that others read.
        signed: False for a file that is there for something else: nothing is written to it.
    """

    def __init__(self, path: Path, *, signed: bool = True) -> None:
        """Nothing is held yet."""
        self.path: Final = path
        self._signed = signed
        self._fd: int | None = None
        self._identity = (0, 0)

    def acquire(self, what: str) -> None:
        """Take the lock; wait only where its owner is dead or dying, and so about to let go of it. Blocks.

        Raises:
            HomeInUse: Another process, or another orchestrator of this one, holds it.
            JournalError: The file cannot be opened, or may be somebody else's.
        """
        if self._is_held_here():  # opening it once more, and closing it, would end the locks that SQLite has on it
            raise _in_use(what, str(os.getpid()))
        try:
            fd = open_unshared(self.path, os.O_RDWR | os.O_CREAT if self._signed else os.O_RDONLY)
        except OSError as error:
            msg = f"{what} cannot be locked: {self.path}: {error.strerror}"
            raise JournalError(msg) from error
        try:
            self._take(fd, what)
        except BaseException:
            close_unshared(fd)
            raise
        if self._signed:
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd
        self._identity = _identity(os.fstat(fd))
        _held[self._identity] = os.getpid()

    def release(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            close_unshared(self._fd)
            self._fd = None
            _held.pop(self._identity, None)

    def _take(self, fd: int, what: str) -> None:
        """Lock the open file. The files of a process that is killed are closed one by one, some time after the kill."""
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() if self._signed else ""
                if time.monotonic() - began > self._patience(owner):
                    raise _in_use(what, owner) from error
                time.sleep(_PAUSE)
            else:
                return

    def _patience(self, owner: str) -> float:
        if not self._signed:
            return _UNKNOWN
        return _DYING if owner.isdecimal() and linux.is_ending(int(owner)) else _SURE

    def _is_held_here(self) -> bool:
        try:
            return _held.get(_identity(self.path.stat())) == os.getpid()
        except OSError:
            return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _in_use(what: str, owner: str) -> HomeInUse:
    return HomeInUse(
        f"{what} is in use by another orchestrator (pid {owner or 'unknown'}); "
        "stop that one, send commands to it, or choose another home with --home"
    )
