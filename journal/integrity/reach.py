"""How far a journal reached, kept beside it: so that a lost tail shows.

SQLite takes a wrong checksum in its write-ahead log for the end of the log. A flipped bit there, or a log that was
deleted, therefore makes a journal older without any error. The writer notes after each commit, and before anything of
it is acknowledged, how many events there are and the hash of the newest, in the file ``NAME.reach``. A journal that
holds less has lost something.

The note is written without a sync of its own. A killed process loses none of it, since the kernel has it. After a power
cut it may be older than the journal, which is no fault. It must not be newer: with durability ``"full"`` it is not,
because the commit was synced before; else ``synced`` says what was on the disk for certain, and counts after a restart
of the machine.

The file is there while the journal is open for writing, and after a kill. Who closes a journal in order has it say
itself where its end is, and removes the note.
"""

import os
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from zlib import crc32

SUFFIX: Final = ".reach"
_MAGIC: Final = b"undreach"
_BODY: Final = struct.Struct(">8sQQQ32sQ32s16s")
_CHECK: Final = struct.Struct(">I")
_SLOT_BYTES: Final = _BODY.size + _CHECK.size
_SLOTS: Final = (0, 4096)
"""Where the two slots begin. They are written in turn, so that one that is torn leaves the other."""
NO_HASH: Final = bytes(32)
"""Stands for the hash of the newest event where there is none."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a journal held at one moment."""

    epoch: int
    events: int
    """Number of events of all runs."""
    head: bytes
    """Hash of the newest of them."""
    synced: int = 0
    """Number of events that were on the disk for certain, whatever the durability."""
    synced_head: bytes = NO_HASH
    boot: bytes = bytes(16)
    """Which start of the machine this was written in."""

    def after_restart(self) -> "Reach":
        """Give what has to be there still once the machine was started anew: what was synced."""
        return replace(self, events=self.synced, head=self.synced_head)


def this_boot() -> bytes:
    """Give what tells this start of the machine from others: 16 bytes, zeros where the kernel does not say."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes().decode()
        return bytes.fromhex(text.strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)


def reach_path(journal: Path) -> Path:
    """Give the file that belongs to a journal."""
    return journal.with_name(journal.name + SUFFIX)


def read_reach(journal: Path) -> Reach | None:
    """Give what was noted last and still has to hold; None where there is no note, or none that is whole.

    Raises:
        OSError: The file is there and cannot be read.
    """
    try:
        descriptor = os.open(reach_path(journal), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, PermissionError):  # the latter: an archive that others may read
        return None
    try:
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
    magic, turn, epoch, events, head, synced, synced_head, boot = _BODY.unpack(body)
    return (turn, Reach(epoch, events, head, synced, synced_head, boot)) if magic == _MAGIC else None


class ReachFile:
    """The note of a journal that is open for writing. The writer's thread only, apart from opening and closing."""

    def __init__(self, journal: Path) -> None:
        """Open the file, made for its owner alone where it is missing. Raises what the operating system raises."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._path = reach_path(journal)
        self._boot = this_boot()
        self._descriptor = os.open(self._path, flags, 0o600)
        found = [_unpack(os.pread(self._descriptor, _SLOT_BYTES, start)) for start in _SLOTS]
        self._turn = max((slot[0] for slot in found if slot is not None), default=0)

    def write(self, epoch: int, events: int, head: bytes, synced: int, synced_head: bytes) -> None:
        """Note how far the journal has come, over the older of the two notes; some microseconds. See ``Reach``."""
        self._turn += 1
        body = _BODY.pack(_MAGIC, self._turn, epoch, events, head, synced, synced_head, self._boot)
        os.pwrite(self._descriptor, body + _CHECK.pack(crc32(body)), _SLOTS[self._turn % 2])

    def close(self) -> None:
        """Let go of the file; may be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the file, once the journal was closed in order and says itself where its end is."""
        with suppress(OSError):  # then it stays, and still holds
            self._path.unlink()
