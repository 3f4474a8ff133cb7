"""The file in a home that says which models and tools are held back, so that the next orchestrator holds them back too.

The file is advice: without it a provider says once more that it wants a pause. So it is written without waiting for the
disk, and what cannot be read or written is only logged.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from loguru import logger

from greenroom.messages.core.errors import JournalError
from greenroom.supervision.loop import offload
from greenroom.supervision.policy.held_calls import HeldCalls, dump, load
from greenroom.workflows.home.home import OwnerLock
from greenroom.workflows.home.private_files import read_private, write_private

FILE: Final = "held_calls.json"


def read_held_calls(home: Path) -> tuple[HeldCalls, ...]:
    """Return what the file of a home says; nothing if there is none, or it cannot be read. May block."""
    try:
        text = read_private(home / FILE)
        return () if text is None else load(text)
    except (OSError, JournalError, ValueError) as error:
        logger.warning("what holds calls back cannot be read, so it is forgotten: {}", error)
        return ()


class HeldCallsFile:
    """Writes the file in another thread. Of several states in a short time, the newest is written. Thread-safe.

    Args:
        home: The folder of the file.
        lock: The lock of the home. Nothing is written once it is not in its place.
    """

    def __init__(self, home: Path, lock: OwnerLock) -> None:
        """Write nothing yet."""
        self._path = home / FILE
        self._lock_of_home = lock
        self._newest: Sequence[HeldCalls] | None = None
        """What is to be written. Guarded by the lock, as is every write."""
        self._lock = Lock()

    def keep(self, held: Sequence[HeldCalls]) -> None:
        """Have the file say what holds calls back now. Never blocks."""
        waits, self._newest = self._newest is not None, held
        if not waits:
            offload.run(self.write)

    def write(self) -> None:
        """Write what is to be written, if anything is. May block."""
        with self._lock:
            held, self._newest = self._newest, None
            if held is None or not self._lock_of_home.is_in_place():
                return
            try:
                if held or self._path.exists():
                    write_private(self._path, dump(held))
            except JournalError as error:
                logger.warning("what holds calls back cannot be written: {}", error)
