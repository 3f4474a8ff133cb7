"""The journal's file: creating it, refusing unsuitable places, and detecting that it has disappeared."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import cast

import apsw

from greenroom.journal.database import Database
from greenroom.messages.core.errors import JournalCorrupt, JournalError
from greenroom.messages.secrets.file_trust import objection

APPLICATION_ID = 0x756E6473
"""Identifies a file as this package's in SQLite's header: "unds"."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
)
"""File systems whose locks or shared memory do not work between machines, so that a write-ahead log would be
damaged."""

_BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of SQLite's files for the log, the log's index, and the rollback journal."""


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds ``path``.

    Args:
        path: An absolute path without symbolic links.
        mounts: Text in the format of ``/proc/mounts``. The last of several mounts on one point counts.

    Returns:
        Such as ``"ext4"``; empty if the path is below no mount point.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004  device, mount point, type
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """Raise for a file on a network file system.

    Raises:
        JournalError: It is on one; the message names its type.
    """
    if mounts is None:
        table = Path("/proc/mounts")
        mounts = table.read_text(errors="surrogateescape") if table.exists() else ""
    kind = file_system(path.resolve(), mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        msg = f"the journal {path} would lie on a network file system ({kind}), where locks fail: choose a local disk"
        raise JournalError(msg)


def refuse_strangers(path: Path) -> None:
    """Raise for a journal that other users could change, because it names the code that its next orchestrator runs.

    SQLite's own files beside it are checked as well, because SQLite trusts them.

    Raises:
        JournalError: One of the files belongs to another user, is writable by others, has several names, or is not a
            regular file.
    """
    for each in (path, *(Path(f"{path}{suffix}") for suffix in _BESIDE)):
        try:
            status = os.lstat(each)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            msg = f"the journal {each} cannot be read ({error.strerror}): check the path and its permissions"
            raise JournalError(msg) from error
        why = objection(each, status, os.geteuid())
        if why:
            msg = f"the journal cannot be used: {why}"
            raise JournalError(msg)


def make_file(path: Path) -> None:
    """Create the journal's file, only for its owner, and the directories above it, if they are missing.

    The file appears at once with SQLite's header in it, and without tables. So whoever dies here leaves no empty file,
    and an empty journal is one that was emptied. The names are durable on return. Raises the operating system's errors.
    """
    parent = path.parent
    missing = [directory for directory in (parent, *parent.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
    if os.path.lexists(path):
        return
    draft = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):  # of a process that was killed here
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_header())
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    sync_directory(parent)


def _header() -> bytes:
    """Return the bytes of a journal without tables."""
    memory = apsw.Connection(":memory:")
    try:
        cast("Database", memory).pragma("application_id", APPLICATION_ID)
        return bytes(memory.serialize("main"))
    finally:
        memory.close()


def is_empty(path: Path) -> bool:
    """Return whether there is a regular file of no bytes."""
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_size


def refuse_empty(path: Path) -> None:
    """Raise for a file of no bytes, before SQLite takes it for a new database and deletes the log beside it.

    Raises:
        JournalCorrupt: The file is empty.
    """
    if is_empty(path):
        msg = (
            f"the journal {path} is an empty file, which no orchestrator leaves behind: put it back from a backup, or "
            "remove it if it never held a run"
        )
        raise JournalCorrupt(msg)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. A synced file can still lose its name in a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Presence:
    """Detects that a file was moved, deleted or replaced while it is in use, so that what is written would be lost."""

    def __init__(self, path: Path) -> None:
        """Remember which file is now at ``path``."""
        self._path = os.fspath(path)
        found = path.stat()
        self._identity = (found.st_dev, found.st_ino)

    def check(self) -> None:
        """Check that the same file is still there; about a microsecond.

        Raises:
            JournalError: It is not.
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116  half the cost of Path.stat, on every commit
            if (found.st_dev, found.st_ino) == self._identity:
                return
        except FileNotFoundError:
            pass
        msg = f"the journal {self._path} was moved, deleted or replaced while in use: put it back and start again"
        raise JournalError(msg)
