"""Opening files below a folder, so that no path and no link leads out of it.

Each part of a path is opened by itself, in the folder that was opened before, without following links. So another
process that swaps a folder for a link at the same time gains nothing: a link is refused at whatever moment it is met.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from greenroom.messages.core.errors import Fatal

_SHOWN = 1000
"""Longest part of a path in a sentence."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> list[str]:
    """Return the names in a relative path, without ``.``.

    Raises:
        Fatal: It is absolute, contains ``..`` or a zero byte.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/") or ".." in parts:
        msg = f"{path!r} leads out of the folder: give a path below it, without `..` and without a leading `/`"
        raise Fatal(msg)
    if "\0" in path:
        msg = f"{path!r} contains a zero byte, which no path may"
        raise Fatal(msg)
    return parts


@contextmanager
def folder_beneath(root: Path, parts: list[str], *, create: bool = False) -> Generator[int]:
    """Open a folder below ``root``, and yield its descriptor.

    Args:
        root: The folder to stay in. Links on the way to it are followed.
        parts: Names of the folders on the way.
        create: Whether to create those that do not exist.

    Raises:
        Fatal: One of them is a link, a file, or does not exist.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, part in enumerate(parts):
            if create:
                _make_folder(part, descriptor)
            with refusing("/".join(parts[: number + 1])):
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def refusing(path: str) -> Generator[None]:
    """Raise ``Fatal`` with a sentence in place of the errors of a path that cannot be opened."""
    try:
        yield
    except OSError as error:
        why = {
            errno.ENOENT: "does not exist",
            errno.ELOOP: "is a link, and links are not followed",
            errno.ENOTDIR: "is not a folder, or is a link, and links are not followed",
            errno.EISDIR: "is a folder",
            errno.EACCES: "may not be opened by this process",
            errno.ENXIO: "is not a regular file",
            errno.ENAMETOOLONG: "is longer than a name of a file may be",
        }.get(error.errno or 0)
        if why is None:
            raise
        msg = f"{_shown(path)} {why}"
        raise Fatal(msg) from error


def open_file(name: str, folder: int, path: str) -> int:
    """Open a regular file in a folder for reading, and return its descriptor.

    Raises:
        Fatal: It is a link, a folder, a pipe or a device, or does not exist.
    """
    with refusing(path):  # without O_NONBLOCK, a named pipe would be waited for
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        msg = f"{_shown(path)} is not a regular file"
        raise Fatal(msg)
    return descriptor


def _shown(path: str) -> str:
    return repr(path[:_SHOWN] or ".")


def _make_folder(name: str, folder: int) -> None:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return
