"""The home: the folder where an orchestrator keeps its journal, and where other processes find it."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Final, cast

from understudy.messages.errors import HomeInUse, JournalError
from understudy.supervision.unshared import close_unshared, open_unshared

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
        """The journal of this home: the one its last orchestrator used."""
        recorded = self.read_record().get("journal")
        return Path(recorded) if isinstance(recorded, str) else self.path / "journal.db"

    def read_record(self) -> dict[str, Any]:
        """Give what ``record`` holds, empty where there is none."""
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def write_record(self, **facts: Any) -> None:
        """Replace ``record``, readable by its owner alone."""
        draft = self.record.with_suffix(".tmp")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), **facts}, file)
        draft.replace(self.record)

    def create(self) -> None:
        """Make the folder, open to its owner alone.

        Raises:
            JournalError: It cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"the home {self.path} cannot be created ({error.strerror})"
            msg = f"{why}; choose another with --home or UNDERSTUDY_HOME"
            raise JournalError(msg) from error


class OwnerLock:
    """A file that one process at a time holds. The kernel lets go of it when the process ends, however it ends.

    Args:
        path: The file, made where it is missing. It holds the owner's pid, for the error that others read.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is held yet."""
        self.path: Final = path
        self._fd: int | None = None

    def acquire(self, what: str) -> None:
        """Take the lock at once or not at all.

        Raises:
            HomeInUse: Another process, or another orchestrator of this one, holds it.
            JournalError: The file cannot be opened.
        """
        try:
            fd = open_unshared(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            msg = f"{what} cannot be locked: {self.path}: {error.strerror}"
            raise JournalError(msg) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            close_unshared(fd)
            msg = (
                f"{what} is in use by another orchestrator (pid {owner}); "
                "stop that one, send commands to it, or choose another home with --home"
            )
            raise HomeInUse(msg) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            close_unshared(self._fd)
            self._fd = None
