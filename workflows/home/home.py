"""The home: the folder where other processes find an orchestrator and, by default, its journal."""

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
from greenroom.workflows.home.private_files import (
    check_folder,
    given_path,
    make_folder,
    read_private,
    real_path,
    write_private,
    writing,
)

DEFAULT: Final = ".greenroom"
HOME_VARIABLE: Final = "GREENROOM_HOME"
"""Environment variable with the default home."""
JOURNAL_VARIABLE: Final = "GREENROOM_JOURNAL"
"""Environment variable with the default journal, if no home is named either."""
MEMORY: Final = ":memory:"
"""Path of a journal that ends with its process."""
OWN_HOME: Final = ".home"
"""Suffix of the home beside a journal whose usual home belongs to another journal."""
TOKEN_VARIABLE: Final = "GREENROOM_TOKEN"  # noqa: S105  a name, not a token
"""Environment variable with a token, used instead of the one in the home."""


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
        """Create nothing yet."""
        self.path: Final = given_path(path or former_name.variable(HOME_VARIABLE) or _default())
        self._journal: Final = None if journal is None else given_path(journal)

    @classmethod
    def find(cls, path: str | None = None, journal: str | None = None) -> "Home":
        """Return the home for a named folder, a named journal, both or neither.

        A journal has the home of the orchestrator that used it last; one that was not used yet has the default home.

        Raises:
            JournalError: Another user could have changed the file beside the journal.
        """
        if path is None and journal is None:
            journal = former_name.variable(JOURNAL_VARIABLE) or None
        if path is None and journal is not None:
            return cls(noted_home(given_path(journal)), journal)
        return cls(path, journal)

    def __repr__(self) -> str:
        """Name the folder."""
        return f"<Home {self.path}>"

    @property
    def socket(self) -> Path:
        """Path of the socket on which a running orchestrator takes commands."""
        return self.path / "control.sock"

    @property
    def record(self) -> Path:
        """Path of the record of the home's last orchestrator, as JSON: its pid, its journal, and its ``url``."""
        return self.path / "orchestrator.json"

    @property
    def token(self) -> Path:
        """Path of the token for HTTP, readable by its owner only. The first server creates it."""
        return self.path / "token"

    @property
    def journal(self) -> Path:
        """Path of the named journal, else of the one that the last orchestrator of this home used.

        Raises:
            JournalError: Another user could have changed the home or its record.
        """
        if self._journal is not None:
            return real_path(self._journal)
        recorded = self._recorded()
        return real_path(recorded if recorded is not None and recorded.exists() else self.path / "journal.db")

    def _recorded(self) -> Path | None:
        """Return the journal that the last orchestrator of this home used; None if it had no file."""
        recorded = self.read_record().get("journal")
        return self.path / recorded if isinstance(recorded, str) and recorded != MEMORY else None

    @property
    def is_named(self) -> bool:
        """Whether the journal was named, and not read from the home's record."""
        return self._journal is not None

    def is_meant(self) -> bool:
        """Return whether the last orchestrator of this home had the named journal, or none was named.

        Raises:
            JournalError: Another user could have changed the home or its record.
        """
        if self._journal is None:
            return True
        recorded = self._recorded()
        return recorded is not None and real_path(recorded) == self.journal

    def owner(self) -> int | None:
        """Return the pid of the last orchestrator of this home; None if it is not recorded."""
        pid = self.read_record().get("pid")
        return pid if isinstance(pid, int) else None

    # ------------------------------------------------------------ what leads here

    def options(self, *, anywhere: bool = False) -> tuple[str, ...]:
        """Return the command-line options that name this home; none if it is the default.

        Args:
            anywhere: Whether they have to work in any folder and environment, and not just in this process's.
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
        """Return a text with ``options`` added to its commands."""
        return placed(text, self.options(anywhere=anywhere), anew=anywhere) if advises(text) else text

    def read_record(self) -> dict[str, Any]:
        """Return the contents of ``record``; empty if there is none.

        The record of a folder that was copied tells of the orchestrator of the other one. All that counts of it is a
        journal outside of that folder.

        Raises:
            JournalError: Another user could have changed the home or the file.
        """
        self.check()
        try:
            found = json.loads(read_private(self.record) or "")
        except (OSError, ValueError, RecursionError):
            return {}
        record = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if record.get("folder") in {None, _identity(self.path.stat())}:
            return record
        journal = record.get("journal")
        return {"journal": journal} if isinstance(journal, str) and Path(journal).is_absolute() else {}

    def read_token(self) -> str | None:
        """Return the token of a server of this home; None if there is none.

        Raises:
            JournalError: Another user could have changed the home or the file, or read the file. Or it cannot be read.
        """
        self.check()
        try:
            text = read_private(self.token, secret=True)
        except UnicodeDecodeError:
            return ""
        except OSError as error:
            msg = f"{self.token} cannot be read ({error.strerror}): make it readable for this user"
            raise JournalError(msg) from error
        return None if text is None else text.strip()

    def write_record(self, **facts: Any) -> None:
        """Replace ``record``, readable by its owner only. A journal that lies in the home is named without its path."""
        journal = facts.get("journal")
        if journal is not None and Path(journal).parent == _real(self.path):
            facts["journal"] = Path(journal).name
        own = {"pid": os.getpid(), "began": began(os.getpid()), "folder": _identity(self.path.stat())}
        write_private(self.record, json.dumps({**own, **facts}))

    def check(self) -> None:
        """Check that no other user could have changed the folder: its files decide which code runs.

        Raises:
            JournalError: It belongs to another user than this one or root, or others can write or replace it.
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


def began(pid: int) -> int | None:
    """Return when a process began, in ticks of the kernel's clock; None if there is no such process.

    It tells the process from a later one with the same pid.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(status.rpartition(b")")[2].split()[19])


def lock_path(journal: Path) -> Path:
    """Return the lock file of a journal, which also holds its owner's pid and home."""
    return journal.with_name(journal.name + ".lock")


def is_unused(journal: Path) -> bool:
    """Return whether a journal's file is empty and no orchestrator has ever claimed it, as one of ``tempfile``."""
    return journal.is_file() and not journal.stat().st_size and not lock_path(journal).exists()


def noted_home(journal: Path) -> Path | None:
    """Return the home of the orchestrator that used a journal last; None if it is not recorded or does not exist.

    Raises:
        JournalError: Another user could have changed the lock file.
    """
    text: str | None = None
    path = lock_path(real_path(journal))
    with suppress(OSError, UnicodeDecodeError):
        text = read_private(path)
    rest = (text or "").partition("\n")[2]
    note, _, signed = rest.rpartition("\n")
    copied = bool(note) and signed != _identity(path.stat())
    note = note or rest  # versions before did not sign it
    if (copied or not note) and journal.name == "journal.db" and (journal.parent / "orchestrator.json").exists():
        return journal.parent.absolute()  # that of a copy, or of a version that did not record it
    return Path(note) if note and not copied and Path(note).is_dir() else None


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
    """Return a path as it is shortest to type: relative if it lies below the working folder."""
    here = Path.cwd()
    if anywhere or path == here or not path.is_relative_to(here):
        return str(path)
    near = str(path.relative_to(here))
    return f"./{near}" if near.startswith("-") else near


_SURE: Final = 0.05
"""Seconds to wait for a lock whose owner is alive."""
_DYING: Final = 20.0
"""Seconds to wait for a lock whose owner was killed, until its files are closed."""
_UNKNOWN: Final = 2.0
"""Seconds to wait for a lock whose owner's pid is not recorded. A living one is rare: it needs a second mount."""
_PAUSE: Final = 0.005
"""Seconds between two attempts."""

_held: dict[str, int] = {}
"""Pid of the process that locked each file, by device and inode. A fork inherits this from its parent."""


class OwnerLock:
    """A lock file, held by one process at a time. The kernel releases it when the process ends.

    Args:
        path: The file. It is created if it is missing, and holds the owner's pid, for the errors of other processes.
        signed: False for a file with another purpose, to which nothing is written.
        note: Text of one line to write below the pid, above the file's identity; it stays after the owner has ended.
    """

    def __init__(self, path: Path, *, signed: bool = True, note: str = "") -> None:
        """Lock nothing yet."""
        self.path: Final = path
        self._signed = signed
        self._note = note
        self._fd: int | None = None
        self._identity = ""

    def acquire(self, what: str) -> None:
        """Acquire the lock. Waits only if its owner is dead or dying, and so about to release it. Blocks.

        Raises:
            HomeInUse: Another process, or another orchestrator of this one, holds the lock.
            JournalError: The file cannot be opened, or another user could have changed it.
        """
        if self._is_held_here():  # opening and closing it again would release the locks of SQLite
            raise _in_use(what, str(os.getpid()))
        with writing(self.path):
            fd = open_unshared(self.path, os.O_RDWR | os.O_CREAT if self._signed else os.O_RDONLY)
        try:
            self._take(fd, what)
            if self._signed:
                self._sign(fd)
        except BaseException:
            close_unshared(fd)
            raise
        self._fd = fd
        self._identity = _identity(os.fstat(fd))
        _held[self._identity] = os.getpid()

    def release(self) -> None:
        """Release the lock."""
        if self._fd is not None:
            close_unshared(self._fd)
            self._fd = None
            _held.pop(self._identity, None)

    def is_in_place(self) -> bool:
        """Return whether the file that was locked is still at its path: its folder may have been moved or replaced.

        What is there otherwise may belong to another orchestrator.
        """
        try:
            return _identity(self.path.stat()) == self._identity
        except OSError:
            return False

    def _sign(self, fd: int) -> None:
        with writing(self.path):
            os.ftruncate(fd, 0)
            lines = [str(os.getpid()), *([self._note, _identity(os.fstat(fd))] if self._note else [])]
            os.pwrite(fd, "\n".join(lines).encode(), 0)

    def _take(self, fd: int, what: str) -> None:
        """Lock the open file. The kernel closes the files of a killed process some time after the kill."""
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


def _identity(status: os.stat_result) -> str:
    """Return what tells a file or folder from its copies. It keeps it when it is moved."""
    return f"{status.st_dev}:{status.st_ino}"


def _in_use(what: str, owner: str) -> HomeInUse:
    whose = f"pid {owner or 'unknown'}{', which is this process' if owner == str(os.getpid()) else ''}"
    other = "another journal" if what.startswith("the journal") else "another home with `home=` or --home"
    return HomeInUse(
        f"{what} is in use by another orchestrator ({whose}); stop that one, send commands to it, or choose {other}"
    )
