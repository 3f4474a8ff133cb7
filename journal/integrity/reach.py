"""The note of a journal's last line of events, kept beside the journal, which reveals a lost tail.

SQLite takes a wrong checksum in its write-ahead log for the end of the log. A flipped bit there, or a deleted log,
therefore makes a journal older without any error. After each commit, and before acknowledging it, the writer notes the
number of lines and the hash of the newest in the file ``NAME.reach``. A journal that holds less has lost something.

The note is written without a sync of its own. Killing the process loses none of it, because the kernel has it. After a
power failure it may be older than the journal, which is no fault. It must not be newer. With durability ``"full"`` it
never is, because the commit was synced before. Otherwise ``synced`` says what was certainly on the disk, and is what
counts after a restart of the machine.

The file exists while the journal is open for writing, and after a kill. Closing a journal properly records its end in
the journal itself and removes the note.
"""

import errno
import os
import stat
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from zlib import crc32

from greenroom.messages.core.frozen import frozen
from greenroom.messages.secrets.file_trust import open_private

SUFFIX: Final = ".reach"
_MAGIC: Final = b"undreach"
_BODY: Final = struct.Struct(">8sQQQ32sQ32s16s")
_CHECK: Final = struct.Struct(">I")
_SLOT_BYTES: Final = _BODY.size + _CHECK.size
_SLOTS: Final = (0, 4096)
"""Offsets of the two slots. They are written in turn, so that a torn write leaves the other one intact."""
NO_HASH: Final = bytes(32)
"""Stands for the hash of the newest line if there is none."""


@frozen
class Reach:
    """The extent of a journal at one moment."""

    epoch: int
    lines: int
    """Number of lines of events of all runs."""
    head: bytes
    """Hash of the newest of them."""
    synced: int = 0
    """Number of lines that were certainly on the disk, whatever the durability."""
    synced_head: bytes = NO_HASH
    boot: bytes = bytes(16)
    """The start of the machine during which this was written."""

    def after_restart(self) -> "Reach":
        """Return what must still exist after a restart of the machine: what was synced."""
        return replace(self, lines=self.synced, head=self.synced_head)


def this_boot() -> bytes:
    """Return an identity of this start of the machine: 16 bytes, zeros if the kernel does not provide one."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes().decode()
        return bytes.fromhex(text.strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)


def reach_path(journal: Path) -> Path:
    """Return the path of a journal's note."""
    return journal.with_name(journal.name + SUFFIX)


def read_reach(journal: Path) -> Reach | None:
    """Return the last note that still has to hold; None if there is no intact note.

    Raises:
        OSError: The file exists and cannot be read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait for a writer
    try:
        descriptor = os.open(reach_path(journal), flags)
    except (FileNotFoundError, PermissionError):  # the latter: an archive that others may read
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link or a socket
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        found = [_unpack(os.pread(descriptor, _SLOT_BYTES, start)) for start in _SLOTS]
    finally:
        os.close(descriptor)
    newest = max((slot for slot in found if slot is not None), key=lambda slot: slot[0], default=None)
    if newest is None:
        return None
    reach = newest[1]
    return reach if reach.boot == this_boot() else reach.after_restart()


def _unpack(slot: bytes) -> tuple[int, Reach] | None:
    body, check = slot[: _BODY.size], slot[_BODY.size :]
    if len(slot) != _SLOT_BYTES or _CHECK.pack(crc32(body)) != check:
        return None
    magic, turn, epoch, lines, head, synced, synced_head, boot = _BODY.unpack(body)
    return (turn, Reach(epoch, lines, head, synced, synced_head, boot)) if magic == _MAGIC else None


class ReachFile:
    """The note of a journal that is open for writing. Used by the writer's thread, except for opening and closing."""

    def __init__(self, journal: Path) -> None:
        """Open the file, or create it, readable only by its owner. Raises the errors of ``open_private``."""
        self._path = reach_path(journal)
        self._boot = this_boot()
        self._descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT)
        self._opened = os.fstat(self._descriptor)
        found = [_unpack(os.pread(self._descriptor, _SLOT_BYTES, start)) for start in _SLOTS]
        self._turn = max((slot[0] for slot in found if slot is not None), default=0)

    def write(self, epoch: int, lines: int, head: bytes, synced: int, synced_head: bytes) -> None:
        """Write how far the journal has come over the older of the two slots; some microseconds. See ``Reach``."""
        self._turn += 1
        body = _BODY.pack(_MAGIC, self._turn, epoch, lines, head, synced, synced_head, self._boot)
        os.pwrite(self._descriptor, body + _CHECK.pack(crc32(body)), _SLOTS[self._turn % 2])

    def close(self) -> None:
        """Close the file. May be called repeatedly."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the file, after the journal was closed properly and has recorded its own end.

        A file that has taken its place since it was opened is the note of another journal, and stays.
        """
        with suppress(OSError):  # then it stays, and is still true
            if os.path.samestat(self._path.stat(), self._opened):
                self._path.unlink()
