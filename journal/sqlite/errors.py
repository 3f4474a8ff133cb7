"""Translation of SQLite's and the operating system's errors into those of this package."""

import errno
import os
from pathlib import Path

import apsw

from greenroom.messages.advice import raise_file_size, raise_files, reindex, verify
from greenroom.messages.core.errors import JournalCorrupt, JournalError, JournalFull

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_WRITING = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_SYSTEM = (apsw.FullError, apsw.IOError, apsw.CantOpenError, OSError)


class JournalUnused(JournalError):  # noqa: N818  reads like its siblings
    """The journal's file has no tables yet, as its first orchestrator ended while it made them."""


def repair(path: Path | None = None) -> str:
    """Return advice on a damaged journal, at a path if it is known."""
    return f"copy the file away, then see what is whole with {verify(str(path or ''))}, or go back to a backup"


def translate(error: Exception, path: Path, system_errno: int = 0) -> JournalError:
    """Return this package's error that says what happened to ``path`` and how to correct it.

    Args:
        error: The exception of apsw, the operating system or a decoder.
        path: The journal's file.
        system_errno: The system's error number behind an ``apsw.Error``, as stored in its connection.
    """
    number = error.errno if isinstance(error, OSError) else system_errno
    because = os.strerror(number) if number else str(error)
    kind: type[JournalError] = JournalError
    if isinstance(error, _SYSTEM) and (number in _NO_ROOM or _has_no_room(error)):
        kind = JournalFull
        sentence = (
            f"no room is left to write the journal {path} ({because}): what was acknowledged is safe, nothing more is "
            "taken; free some space and start again"
        )
    elif isinstance(error, _SYSTEM) and number == errno.EFBIG:
        kind = JournalFull
        sentence = (
            f"the journal {path} may not become longer ({because}): what was acknowledged is safe, nothing more is "
            f"taken; lift the limit of this process, for instance with {raise_file_size()}, and start again"
        )
    elif isinstance(error, apsw.ReadOnlyError) or (isinstance(error, _SYSTEM) and number in _NO_WRITING):
        kind = JournalFull
        sentence = (
            f"the journal {path} cannot be written ({because}): what was acknowledged is safe; make its directory and "
            "file writable for this user, or choose another path"
        )
    elif isinstance(error, FileNotFoundError):
        sentence = f"there is no journal at {path}: check the path, or start an orchestrator there first"
    elif isinstance(error, apsw.NotADBError):
        kind = JournalCorrupt
        sentence = f"{path} is not an SQLite database, so no journal; it was left as it is: choose another path"
    elif isinstance(error, (apsw.CorruptError, apsw.ConstraintError, UnicodeDecodeError)):
        kind = JournalCorrupt
        sentence = f"the journal {path} is damaged ({error}): {repair(path)}"
    elif isinstance(error, (apsw.BusyError, apsw.LockedError)):
        sentence = f"another process keeps the journal {path} locked: end it and start again"
    elif isinstance(error, _SYSTEM) and number in _NO_DESCRIPTORS:
        sentence = (
            f"the journal {path} cannot be opened ({because}): allow more open files, for instance with "
            f"{raise_files('65536')}, and start again"
        )
    elif isinstance(error, (apsw.CantOpenError, OSError)):
        sentence = f"the journal {path} cannot be opened ({because}): check the path and its permissions"
    else:
        sentence = (
            f"reading or writing the journal {path} failed ({because}): what was acknowledged is safe, nothing more is "
            "taken; check the disk and start again"
        )
    return kind(sentence)


def _has_no_room(error: Exception) -> bool:
    """Return whether SQLite reports a full disk, or failed to extend its shared memory, which has no error number."""
    return isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def damaged_event(path: Path, run_id: str, seq: int, how: str) -> JournalCorrupt:
    """Return the error for an event that is not what was written."""
    return JournalCorrupt(f"event {seq} of run {run_id} in the journal {path} is damaged ({how}): {repair(path)}")


def damaged_line(path: Path, run_id: str) -> JournalCorrupt:
    """Return the error for an index line of a run that is missing or not what was written."""
    return JournalCorrupt(
        f"the line of run {run_id} in the index of the journal {path} is damaged: {reindex(str(path))} makes it "
        "anew from its events"
    )
