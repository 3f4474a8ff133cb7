"""Checks whether a file or folder can be trusted: it is the user's or root's, and no other user can change it."""

import errno
import os
import stat
from typing import Final, Literal

from greenroom.messages.advice import set_mode
from greenroom.messages.core.errors import JournalError

_ROOT: Final = 0
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}
_NO_FILE: Final = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""What the kernel says of a link, a pipe or socket that no process serves, and a folder."""


def objection(
    path: object, status: os.stat_result, uid: int, *, kind: Literal["file", "folder"] = "file", secret: bool = False
) -> str:
    """Return why a file or folder must not be used, and how to correct that; empty if it may be used.

    Args:
        path: Its name in the sentence.
        status: ``fstat`` of the open file, or ``lstat`` of the path, so that a link is not followed.
        uid: The user who wants to use it. Files of root are also trusted.
        kind: What it has to be. A file may have only one name.
        secret: Whether others must not be able to read it.
    """
    wanted = stat.S_ISREG if kind == "file" else stat.S_ISDIR
    mode = stat.S_IMODE(status.st_mode)
    if not wanted(status.st_mode):
        found = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        return f"{path} is {found} and not a {kind}: remove it, or choose another place"
    if status.st_uid not in {uid, _ROOT}:
        return (
            f"{path} belongs to the user with number {status.st_uid} and not to you (number {uid}), and who owns it "
            "can have your account run any code: choose a place of your own, or run this as that user"
        )
    if mode & _OTHERS_WRITE:
        return (
            f"{path} can be changed by other users (mode {mode:04o}): if you trust what it holds, make it yours alone "
            f"with {set_mode('go-w', str(path))}"
        )
    if secret and mode & _OTHERS:
        return (
            f"{path} may have been read by others (mode {mode:04o}): remove the file to have a new one made, or make "
            f"it yours alone with {set_mode('600', str(path))}"
        )
    if kind == "file" and status.st_nlink > 1:
        return (
            f"{path} has {status.st_nlink} names (hard links), so that it can be in use under another one: give it a "
            "single name, by removing the others or by putting a copy in its place"
        )
    return ""


def open_private(path: str | os.PathLike[str], flags: int, *, secret: bool = False) -> int:
    """Open a private file and return its descriptor, which executed programs do not inherit.

    Links are not followed, and the open file is checked, so that other users cannot substitute another file.

    Raises:
        OSError: The file cannot be opened.
        JournalError: The file belongs to another user, has several names, or is not a regular file. Or other users can
            write it; if it is ``secret``, read it.
    """
    path = os.fspath(path)
    try:  # without blocking, as it may be a pipe that no other process has open
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise JournalError(objection(path, os.lstat(path), os.geteuid()) or f"{path}: {error.strerror}") from error
        raise
    why = objection(path, os.fstat(descriptor), os.geteuid(), secret=secret)
    if why:
        os.close(descriptor)
        raise JournalError(why)
    return descriptor
