"""Settings of the whole process that an orchestrator needs while it is open.

The process may be a user's program that embeds ``Orchestrator``. So each setting is restored when the last
orchestrator of the process closes, and a setting that is sufficient already is not changed.
"""

import gc
import sys
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from greenroom.supervision.kernel.descriptor_limit import enough, set_soft_limit, soft_limit

T = TypeVar("T")

SWITCH_INTERVAL: Final = 0.0001
"""Switch interval of the interpreter, in seconds. The journal's writer returns from a commit while the reactor works;
with Python's default of 5 ms each commit would wait that long for the interpreter."""
YOUNG_OBJECTS: Final = 20_000
"""Allocations between two collections of the youngest generation. Events and frames have no cycles, and each collection
over those of a few hundred runs takes time from the reactor."""


class ProcessSetting(Generic[T]):
    """One setting, changed for as long as at least one orchestrator is open in the process. Thread-safe.

    Args:
        read: Returns the present value.
        write: Sets a value.
        wanted: Returns the value that an orchestrator needs, given the present one.
    """

    def __init__(self, read: Callable[[], T], write: Callable[[T], object], wanted: Callable[[T], T]) -> None:
        """Change nothing before ``hold``."""
        self._read = read
        self._write = write
        self._wanted = wanted
        self._lock = threading.Lock()
        self._holders = 0
        self._before_and_after: tuple[T, T] | None = None

    def hold(self) -> None:
        """Change the setting, if no other orchestrator has done so. Each call needs one of ``release``."""
        with self._lock:
            if self._holders == 0:
                before = self._read()
                wanted = self._wanted(before)
                if wanted != before:
                    self._write(wanted)
                    self._before_and_after = before, self._read()  # the switch interval is rounded
            self._holders += 1

    def release(self) -> None:
        """Undo one ``hold``. The last call restores the setting, unless the user has changed it meanwhile."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0 and self._before_and_after is not None:
                before, after = self._before_and_after
                self._before_and_after = None
                if self._read() == after:
                    self._write(before)


def _set_thresholds(thresholds: tuple[int, ...]) -> None:
    gc.set_threshold(*thresholds)


def _wanted_thresholds(thresholds: tuple[int, ...]) -> tuple[int, ...]:
    young, *older = thresholds
    return (YOUNG_OBJECTS, *older) if 0 < young < YOUNG_OBJECTS else thresholds  # 0 turns collections off


SETTINGS: Final[tuple[ProcessSetting[float] | ProcessSetting[int] | ProcessSetting[tuple[int, ...]], ...]] = (
    ProcessSetting(sys.getswitchinterval, sys.setswitchinterval, lambda interval: min(interval, SWITCH_INTERVAL)),
    ProcessSetting[tuple[int, ...]](gc.get_threshold, _set_thresholds, _wanted_thresholds),
    ProcessSetting(soft_limit, set_soft_limit, enough),
)
"""Switch interval, thresholds of the garbage collector, soft limit of open files."""
