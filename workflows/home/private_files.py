"""Private folders and files, which no other user can have made or changed: finding, creating, reading, writing them.

A home or a journal decides which code runs. Symbolic links to it are followed here, once, and only if they belong to
this user or root; the files themselves are opened without following any.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from greenroom.messages.advice import raise_file_size, raise_files, set_mode
from greenroom.messages.core.errors import JournalError
from greenroom.messages.secrets.file_trust import objection
from greenroom.supervision.kernel.fork_safe_files import close_unshared, open_unshared

_MOST_LINKS: Final = 40
_ROOT: Final = 0
_REMEDIES: Final = {
    errno.EISDIR: "remove the folder",
    errno.ENOTEMPTY: "remove the folder",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: f"let files become longer, for instance with {raise_file_size()}",
    errno.EACCES: "make it and its folder writable for this user",
    errno.EPERM: "make it and its folder writable for this user",
    errno.EROFS: "mount its disk for writing",
}
"""What a reader can do, by the error that the operating system gives."""
NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""Errors that are about this process or machine, whichever file it was that could not be opened."""


def given_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path that a person means. A ``~`` stands for the home directory, as in a shell."""
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  the method raises where there is none


def real_path(path: Path) -> Path:
    """Return the only path of a file or folder without links and ``..``. It need not exist.

    Raises:
        JournalError: The path leads over another user's link, or through a folder whose contents anybody can replace.
            Or it is not UTF-8, as what is written about it is.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        msg = f"the path {path} holds bytes that are not UTF-8: choose another place"
        raise JournalError(msg) from error
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
        except OSError:  # missing or unreadable: opening it raises the error
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
        target = Path(os.readlink(here))  # noqa: PTH115  as the line above
        if target.is_absolute():
            place = Path("/")
        left.extend(reversed([part for part in target.parts if part != "/"]))
    return place


def _check_way(folder: Path) -> None:
    """Raise ``JournalError`` for a folder that everybody may write to without a sticky bit."""
    try:
        mode = os.lstat(folder).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        way = f"{set_mode('+t', str(folder))} ends that, or choose another place"
        msg = f"anybody can replace what lies in {folder}: {way}"
        raise JournalError(msg)


def check_folder(folder: Path) -> None:
    """Check that a folder is private. It need not exist.

    Raises:
        JournalError: The folder belongs to another user, or others can change it or the path to it.
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
    """Create a folder and missing folders above it, with access for their owner only.

    Raises:
        OSError: It cannot be created.
        JournalError: Others can change the path to it.
    """
    real = real_path(folder)
    for missing in reversed([each for each in (real, *real.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    real.mkdir(exist_ok=True)  # raises if it is not a folder


def read_private(path: Path, *, secret: bool = False) -> str | None:
    """Return the text of a private file; None if there is no such file.

    Raises:
        JournalError: It belongs to another user, or others can write it or, if it is ``secret``, read it.
        OSError: It cannot be read.
        UnicodeDecodeError: It is not text.
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
    """Replace a private file, readable by its owner only. A link in its place is replaced, not followed.

    Raises:
        JournalError: It cannot be written.
    """
    draft = path.with_suffix(".tmp")
    with writing(path):
        draft.unlink(missing_ok=True)
        descriptor = open_unshared(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.write(text)
        finally:
            close_unshared(descriptor)
        draft.replace(path)


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Say what the reader can do if a file of a home cannot be written.

    Raises:
        JournalError: In place of the operating system's error in the block.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def descriptors_left() -> Generator[None]:
    """Say what to do where this process may open no more files, sockets and pipes.

    Raises:
        JournalError: In place of that error of the operating system. Others are left as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            raise unwritable(Path(), error) from error
        raise


def unwritable(path: Path, error: OSError) -> JournalError:
    """Return the error that a file cannot be written, with what the reader can do."""
    if error.errno in NO_DESCRIPTORS:
        way = f"allow more, for instance with {raise_files('65536')}, and start again"
        return JournalError(f"no file can be opened ({error.strerror}): {way}")
    place = error.filename2 or error.filename or path
    remedy = _REMEDIES.get(error.errno or 0, "look at what lies there")
    return JournalError(f"{place} cannot be written ({error.strerror}): {remedy}, or choose another home with --home")
