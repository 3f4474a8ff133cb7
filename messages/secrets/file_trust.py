"""Checks whether a file or folder can be trusted: it is the user's or root's, and no other user can change it. Pure."""

import stat
from os import stat_result
from typing import Final, Literal

from greenroom.messages.advice import set_mode

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


def objection(
    path: object, status: stat_result, uid: int, *, kind: Literal["file", "folder"] = "file", secret: bool = False
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
