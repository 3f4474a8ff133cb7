"""The home: the folder where an orchestrator keeps its journal, and where other processes find it."""

import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from greenroom.messages.advice import advises, placed
from greenroom.messages.core.errors import HomeInUse, JournalError
from greenroom.supervision.kernel import linux
from greenroom.supervision.kernel.fork_safe_files import close_unshared, open_unshared
from greenroom.workflows.home import former_name
from greenroom.workflows.home.private_files import check_folder, make_folder, read_private, real_path, write_private

DEFAULT: Final = ".greenroom"
HOME_VARIABLE: Final = "GREENROOM_HOME"
"""Environment variable that names the home, where nothing else does."""
JOURNAL_VARIABLE: Final = "GREENROOM_JOURNAL"
"""Environment variable that names the journal, where neither a journal nor a home is named otherwise."""
MEMORY: Final = ":memory:"
"""The place of a journal that ends with its process."""
OWN_HOME: Final = ".home"
"""What the name of a journal ends in to name a home of its own, where the one it would have is another's."""
TOKEN_VARIABLE: Final = "GREENROOM_TOKEN"  # noqa: S105  a name, not a token
"""Environment variable that goes before the token in a home."""


class Home:
    """Paths and locks of one home. Nothing is created before it is needed.

    Args:
        path: The folder; None means ``GREENROOM_HOME``, or ``.greenroom`` in the current one. If only a variable or
            folder with the former name exists, it is used.
        journal: The journal that is meant; None means the one that the home's last orchestrator used. An orchestrator
            of this home that has another one is not the one that is meant.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, journal: str | os.PathLike[str] | None = None
    ) -> None:
        """Only remember where it is."""
        self.path: Final = Path(path or former_name.variable(HOME_VARIABLE) or _default()).absolute()
        self._journal: Final = None if journal is None else Path(journal).absolute()

    @classmethod
    def find(cls, path: str | None = None, journal: str | None = None) -> "Home":
        """Give the home that is meant by who names it, its journal, both or neither.

        A journal leads to the home of the orchestrator that used it last, and one that was not used yet to the default.

        Raises:
            JournalError: What lies beside the journal may be somebody else's.
        """
        if path is None and journal is None:
            journal = former_name.variable(JOURNAL_VARIABLE) or None
        if path is None and journal is not None:
            return cls(noted_home(Path(journal)), journal)
        return cls(path, journal)

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
        """The journal that is meant: the one that was named, else the one that the last orchestrator of this home used.

        Raises:
            JournalError: The home, or what says so in it, may be somebody else's.
        """
        if self._journal is not None:
            return real_path(self._journal)
        recorded = self.read_record().get("journal")
        if not isinstance(recorded, str) or recorded == MEMORY or not Path(recorded).exists():
            recorded = self.path / "journal.db"
        return real_path(Path(recorded))

    @property
    def is_named(self) -> bool:
        """Whether the journal was named, and is not just the one that the home leads to."""
        return self._journal is not None

    def is_meant(self) -> bool:
        """Say whether the last orchestrator of this home had the journal that is meant.

        Raises:
            JournalError: The home, or what says so in it, may be somebody else's.
        """
        return self._journal is None or self.read_record().get("journal") == str(self.journal)

    def owner(self) -> int | None:
        """Give the pid of the last orchestrator of this home, None where nobody knows."""
        pid = self.read_record().get("pid")
        return pid if isinstance(pid, int) else None

    # ------------------------------------------------------------ what leads here

    def options(self, *, anywhere: bool = False) -> tuple[str, ...]:
        """Give the options of the command line that lead here: none where it looks here by itself.

        Args:
            anywhere: They are for whoever reads them, and not for this process's folder and environment.
        """
        try:
            journal = self.journal
        except JournalError:
            journal = self.path / "journal.db"
        own = journal == _real(self.path) / "journal.db"
        default = Home()
        if own:
            usual = self.path == default.path and not former_name.variable(JOURNAL_VARIABLE)
            return () if usual and not anywhere else ("--home", _short(self.path, anywhere=anywhere))
        named = ("--journal", _short(journal, anywhere=anywhere))
        noted = _noted_or_default(journal)
        return named if noted == self.path else (*named, "--home", _short(self.path, anywhere=anywhere))

    def placed(self, text: str, *, anywhere: bool = False) -> str:
        """Give a text whose commands lead here; see ``options``."""
        return placed(text, self.options(anywhere=anywhere), anew=anywhere) if advises(text) else text

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
            msg = f"{why}; choose another with --home or {HOME_VARIABLE}"
            raise JournalError(msg) from error
        self.check()


def lock_path(journal: Path) -> Path:
    """Give the file that says, by its lock, who owns a journal, and by what it holds, where its home is."""
    return journal.with_name(journal.name + ".lock")


def noted_home(journal: Path) -> Path | None:
    """Give the home of the orchestrator that used a journal last, None where nobody knows or it is gone.

    Raises:
        JournalError: What says so may be somebody else's.
    """
    text: str | None = None
    with suppress(OSError, UnicodeDecodeError):
        text = read_private(lock_path(real_path(journal)))
    note = (text or "").partition("\n")[2]
    if not note and journal.name == "journal.db" and (journal.parent / "orchestrator.json").exists():
        return journal.parent.absolute()  # of a version that left no note
    return Path(note) if note and Path(note).is_dir() else None


def _noted_or_default(journal: Path) -> Path:
    noted: Path | None = None
    with suppress(JournalError):
        noted = noted_home(journal)
    return noted or Home().path


def _default() -> str:
    """Return the default home in the current folder: the former one if only that one is there."""
    if Path(DEFAULT).exists() or not Path(former_name.HOME).is_dir():
        return DEFAULT
    former_name.tell(f"the home {former_name.HOME} is used, because there is no {DEFAULT}: rename it to {DEFAULT}")
    return former_name.HOME


def _real(path: Path) -> Path:
    try:
        return real_path(path)
    except JournalError:
        return path


def _short(path: Path, *, anywhere: bool) -> str:
    """Give a path as it is best typed: from this folder where it lies below it."""
    here = Path.cwd()
    if anywhere or path == here or not path.is_relative_to(here):
        return str(path)
    near = str(path.relative_to(here))
    return f"./{near}" if near.startswith("-") else near


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
        note: What stands below the pid for others to read, also once the owner has gone.
    """

    def __init__(self, path: Path, *, signed: bool = True, note: str = "") -> None:
        """Nothing is held yet."""
        self.path: Final = path
        self._signed = signed
        self._note = note
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
            os.pwrite(fd, "\n".join(filter(None, [str(os.getpid()), self._note])).encode(), 0)
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
                owner = self._read_owner(fd) if self._signed else ""
                if time.monotonic() - began > self._patience(owner):
                    raise _in_use(what, owner) from error
                time.sleep(_PAUSE)
            else:
                return

    @staticmethod
    def _read_owner(fd: int) -> str:
        return os.pread(fd, 32, 0).partition(b"\n")[0].decode("ascii", "replace").strip()

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
