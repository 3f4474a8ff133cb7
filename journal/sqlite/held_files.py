"""Locks that keep the log of an open journal from being removed by whoever opens the journal with SQLite as well.

SQLite's own locks belong to a process. A second copy of SQLite in the orchestrator's process, such as the module
``sqlite3``, passes them, and at its end removes the log that the writer still writes. Closing any file object of the
journal in that process, such as in ``shutil.copy``, drops them, and then another process may remove the log. What is
acknowledged after that would be gone after a kill. The locks of this module belong to an open file, and so hold.
"""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

_SHARED_BYTE = 0x40000002
"""The first byte that SQLite locks in the database; it removes a log only with all of them for itself."""
_LOG_INDEX_BYTE = 128
"""The byte of the log's index that each user of the log locks; whoever finds it free makes the index anew."""


class HeldFiles:
    """Locks on the files of a journal, from its opening until just before its close.

    Args:
        path: A journal whose log is in use by a connection. Before that, the locks would keep SQLite from making the
            log's index.

    Raises:
        OSError: One of the files cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """Take the locks. Where the file system has no such locks, SQLite's own have to do."""
        self._descriptors: list[int] = []
        try:
            for name, byte in ((str(path), _SHARED_BYTE), (f"{path}-shm", _LOG_INDEX_BYTE)):
                self._descriptors.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))
                with suppress(OSError):
                    _lock(self._descriptors[-1], fcntl.F_RDLCK, byte)
        except OSError:
            self.close()
            raise

    def release(self) -> None:
        """Give the locks back, so that the last connection can remove the log."""
        for descriptor in self._descriptors:
            with suppress(OSError):
                _lock(descriptor, fcntl.F_UNLCK, 0)

    def close(self) -> None:
        """Close the files. Only after the connections: it drops the locks that SQLite has in this process."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def _lock(descriptor: int, kind: int, start: int) -> None:
    """Lock one byte for reading, or unlock everything from there on."""
    length = 0 if kind == fcntl.F_UNLCK else 1
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
