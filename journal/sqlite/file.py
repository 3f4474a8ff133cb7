"""Where a journal's file lies: making the place, refusing a bad one, noticing that the file has gone."""

import os
from pathlib import Path

from greenroom.messages.core.errors import JournalError
from greenroom.messages.secrets.file_trust import objection

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
)
"""File systems whose locks or shared memory do not hold between machines, where a write-ahead log would be torn."""

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite adds to a database's name for its log, the log's index, and the log of another mode."""


def file_system(path: Path, mounts: str) -> str:
    """Give the type of the file system that ``path`` lies on.

    Args:
        path: An absolute path without symbolic links.
        mounts: Text in the form of ``/proc/mounts``; of several mounts over one point the last one counts.

    Returns:
        Such as ``"ext4"``; empty where no mount point is above the path.
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
    """Refuse a file on a network file system.

    Raises:
        JournalError: It lies on one; the sentence names its type.
    """
    if mounts is None:
        table = Path("/proc/mounts")
        mounts = table.read_text(errors="surrogateescape") if table.exists() else ""
    kind = file_system(path.resolve(), mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        msg = f"the journal {path} would lie on a network file system ({kind}), where locks fail: choose a local disk"
        raise JournalError(msg)


def refuse_strangers(path: Path) -> None:
    """Refuse a journal that is not ours alone: it names the code that its next orchestrator runs.

    The same holds for what SQLite keeps beside it and takes for a part of it.

    Raises:
        JournalError: It, or a file that SQLite keeps beside it, does not belong to us or root, can be written by
            others, has several names, or is no regular file.
    """
    for each in (path, *(Path(f"{path}{suffix}") for suffix in _BESIDE)):
        try:
            status = os.lstat(each)
        except FileNotFoundError:
            continue
        why = objection(each, status, os.geteuid())
        if why:
            msg = f"the journal cannot be used: {why}"
            raise JournalError(msg)


def make_file(path: Path) -> None:
    """Make the journal's file, empty and for its owner only, and the directory above it, where they are missing.

    The names are durable when this returns. Raises what the operating system raises.
    """
    parent = path.parent
    missing = [directory for directory in (parent, *parent.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    sync_directory(parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: a file that was synced can still lose its name on power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Presence:
    """Notices that a file was moved, deleted or replaced while it is in use: what is then written reaches nobody."""

    def __init__(self, path: Path) -> None:
        """Remember which file is at ``path`` now."""
        self._path = os.fspath(path)
        found = path.stat()
        self._identity = (found.st_dev, found.st_ino)

    def check(self) -> None:
        """Look whether the same file is still there; about a microsecond.

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
