"""``file_reader``, ``file_writer`` and ``file_lister``: tools for the files below one folder."""

import os
import stat
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Unpack
from uuid import uuid4

from pydantic import BaseModel

from greenroom.messages.core.errors import Fatal
from greenroom.tools.beneath import folder_beneath, open_file, parts_of, refusing
from greenroom.tools.options import ToolOptions
from greenroom.workflows.authoring.decorators import tool
from greenroom.workflows.authoring.step import Step

MOST_ENTRIES: Final = 1000
"""Most entries of a folder that are listed."""


class FileText(BaseModel):
    """Text of a file.

    Attributes:
        path: Path below the folder.
        text: The text, decoded as UTF-8. What cannot be decoded is replaced.
        next_offset: Where the rest begins, in bytes; None if this was the end of the file.
    """

    path: str
    text: str
    next_offset: int | None = None


class FileEntry(BaseModel):
    """One entry of a folder.

    Attributes:
        name: Its name.
        kind: ``"other"`` is a link, a pipe or a device, which no tool here opens.
        bytes: Size of a file.
    """

    name: str
    kind: Literal["file", "folder", "other"]
    bytes: int = 0


def file_reader(
    name: str = "read_file",
    *,
    root: str | os.PathLike[str],
    most_bytes: int = 200_000,
    **options: Unpack[ToolOptions],
) -> Step[..., FileText]:
    """Make a tool that reads a text file below ``root``. It takes ``path`` and ``offset``, and returns a ``FileText``.

    Paths cannot lead out of the folder: ``..`` and links are refused, also if another process exchanges them at the
    same moment. A file below ``root`` that is a hard link to another one is read, as the kernel cannot tell them apart.

    Args:
        name: Name of the tool.
        root: The folder. A relative path begins in the folder of the process that loads the app, so better begin with
            ``Path(__file__).parent``.
        most_bytes: Most bytes that one call returns.
        options: Options of ``@tool``.
    """
    top = Path(root).absolute()

    def read(path: str, offset: int = 0) -> FileText:
        """Read a text file, from a byte offset on."""
        *folders, last = parts_of(path) or ["."]
        with folder_beneath(top, folders) as folder:
            descriptor = open_file(last, folder, path)
        try:
            data = os.pread(descriptor, most_bytes + 1, max(0, offset))
        finally:
            os.close(descriptor)
        rest = max(0, offset) + most_bytes if len(data) > most_bytes else None
        return FileText(
            path="/".join([*folders, last]), text=data[:most_bytes].decode(errors="replace"), next_offset=rest
        )

    read.__name__ = name
    return tool(name=name, **options)(read)


def file_writer(
    name: str = "write_file",
    *,
    root: str | os.PathLike[str],
    most_bytes: int = 1_000_000,
    **options: Unpack[ToolOptions],
) -> Step[[str, str], int]:
    """Make a tool that writes a text file below ``root``. It takes ``path`` and ``text``, and returns the bytes.

    The file is replaced as a whole, so readers see the old text or the new one, and an attempt that is repeated does no
    harm. Missing folders are created. Paths cannot lead out of the folder, see ``file_reader``. A link in the place of
    the file is replaced, and what it points to stays.

    Args:
        name: Name of the tool.
        root: The folder, see ``file_reader``.
        most_bytes: Longest text in bytes, as UTF-8.
        options: Options of ``@tool``.
    """
    top = Path(root).absolute()

    def write(path: str, text: str) -> int:
        """Write a text file, in place of the one that may be there."""
        data = text.encode(errors="replace")
        *folders, last = parts_of(path) or [""]
        if not last or path.endswith("/"):
            msg = f"{path!r} names no file"
            raise Fatal(msg)
        if len(data) > most_bytes:
            msg = f"the text has {len(data)} bytes, and a file may have {most_bytes}"
            raise Fatal(msg)
        with folder_beneath(top, folders, create=True) as folder:
            _replace(last, data, folder, path)
        return len(data)

    write.__name__ = name
    return tool(name=name, **options)(write)


def _replace(name: str, data: bytes, folder: int, path: str) -> None:
    """Write a file in a folder under another name, and rename it."""
    beside = f".{uuid4().hex}.part"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor
            file.write(data)
        with refusing(path):
            os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise


def file_lister(
    name: str = "list_files", *, root: str | os.PathLike[str], **options: Unpack[ToolOptions]
) -> Step[..., list[FileEntry]]:
    """Make a tool that lists a folder below ``root``. It takes ``path`` and returns up to 1000 ``FileEntry`` by name.

    Paths cannot lead out of the folder, see ``file_reader``.

    Args:
        name: Name of the tool.
        root: The folder, see ``file_reader``.
        options: Options of ``@tool``.
    """
    top = Path(root).absolute()

    def list_files(path: str = ".") -> list[FileEntry]:
        """List the files and folders in a folder."""
        with folder_beneath(top, parts_of(path)) as folder, os.scandir(folder) as entries:
            found = [_entry(entry) for entry in islice(entries, MOST_ENTRIES)]
        return sorted(found, key=lambda entry: entry.name)

    list_files.__name__ = name
    return tool(name=name, **options)(list_files)


def _entry(entry: os.DirEntry[str]) -> FileEntry:
    shown = entry.name.encode(errors="surrogateescape").decode(errors="replace")
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:  # it was deleted meanwhile
        return FileEntry(name=shown, kind="other")
    if stat.S_ISREG(found.st_mode):
        return FileEntry(name=shown, kind="file", bytes=found.st_size)
    return FileEntry(name=shown, kind="folder" if stat.S_ISDIR(found.st_mode) else "other")
