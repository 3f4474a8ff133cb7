"""Folders and files that are this user's alone: the way to them, making them, reading them, writing them.

A home or a journal decides which code is run, so nobody else may have made it or be able to change it. Links are
followed here, once, and only where they are ours; the files themselves are opened without following any.
"""

import os
import stat
from pathlib import Path
from typing import Final

from greenroom.messages.advice import set_mode
from greenroom.messages.core.errors import JournalError
from greenroom.messages.secrets.file_trust import objection
from greenroom.supervision.kernel.fork_safe_files import close_unshared, open_unshared

_MOST_LINKS: Final = 40
_ROOT: Final = 0


def real_path(path: Path) -> Path:
    """Give the path without links, ``..`` and the like: one file or folder has but one such path. It may be missing.

    Raises:
        JournalError: The way leads over a link of another user's, or through a folder where anybody can replace what
            lies in it.
    """
    place, left, links = Path("/"), list(reversed(path.absolute().parts[1:])), 0
    while left:
        part = left.pop()
        if part == "..":
            place = place.parent
            continue
        _check_way(place)
        here = place / part
        try:
            status = os.lstat(here)
        except OSError:  # missing, or not to be looked into: then whoever opens it will say so
            place = here
            continue
        if not stat.S_ISLNK(status.st_mode):
            place = here
            continue
        links += 1
        if status.st_uid not in {os.geteuid(), _ROOT} or links > _MOST_LINKS:
            whose = f"of the user with number {status.st_uid}, not yours" if links <= _MOST_LINKS else "among too many"
            msg = f"{here} is a symbolic link {whose}: choose another place"
            raise JournalError(msg)
        target = Path(os.readlink(here))  # noqa: PTH115  the same, and it reads like the line above
        if target.is_absolute():
            place = Path("/")
        left.extend(reversed([part for part in target.parts if part != "/"]))
    return place


def _check_way(folder: Path) -> None:
    """Refuse a folder that everybody may write to and that has no sticky bit, which keeps names their owners'."""
    try:
        mode = os.lstat(folder).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        way = f"{set_mode('+t', str(folder))} ends that, or choose another place"
        msg = f"anybody can replace what lies in {folder}: {way}"
        raise JournalError(msg)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not ours, or that others can change. One that is missing is fine.

    Raises:
        JournalError: It is one, or the way to it is none of ours.
    """
    real = real_path(folder)
    try:
        status = os.lstat(real)
    except OSError:
        return
    why = objection(folder, status, os.geteuid(), kind="folder")
    if why:
        raise JournalError(why)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, open to their owner alone.

    Raises:
        OSError: It cannot be made.
        JournalError: The way to it leads over what belongs to others.
    """
    real = real_path(folder)
    for missing in reversed([each for each in (real, *real.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    real.mkdir(exist_ok=True)  # raises where it is no folder


def read_private(path: Path, *, secret: bool = False) -> str | None:
    """Read a file that is ours alone; None where there is none.

    Raises:
        JournalError: It is not ours, or others can write it, or, where it is ``secret``, read it.
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text.
    """
    try:
        descriptor = open_unshared(path, os.O_RDONLY, secret=secret)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as file:
            return file.read()
    finally:
        close_unshared(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file of ours, readable by its owner alone. Nothing that lies in its place is followed or written to.

    Raises:
        OSError: It cannot be written.
    """
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    descriptor = open_unshared(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
    finally:
        close_unshared(descriptor)
    draft.replace(path)
