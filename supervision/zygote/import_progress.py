"""Progress of slow imports of apps: when each began, and the line that it executes.

A zygote must have only one thread when it forks, and must not change the signals and timers of the user's import. So
faulthandler's watchdog writes the stack of the main thread to a pipe of the orchestrator every two seconds. It is a C
thread that does not need the interpreter's lock, and it ends with the import.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from greenroom.messages.core.frozen import frozen
from greenroom.supervision.zygote.app_loader import interval

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

IMPORT_TIMEOUT: Final = 60.0
"""Seconds that the import of an app may take."""
LATE: Final = 4.0
"""Seconds after the first dump was due, after which an import counts as slow without one, as its code may have stopped
the watchdog."""
AGAIN: Final = 4.0
"""Factor by which the duration must grow before the listeners are called again."""
_MOST_BYTES: Final = 64 * 1024
_BEGIN: Final = b"Timeout ("
_THREAD: Final = "Thread 0x"
"""Beginnings of faulthandler's dump and of each thread in it."""

Place: TypeAlias = Callable[[str], str]
"""Returns the user's line in faulthandler's dump, such as ``/path/app.py:12``; empty if there is none."""


@frozen
class SlowImport:
    """A slow import that is not over.

    Attributes:
        since: When it began, on the monotonic clock.
        place: The user's line that it executed last; empty if it is unknown.
    """

    since: float
    place: str = ""

    def sentence(self) -> str:
        """Return a sentence with the duration and the current line of the import."""
        at = f", at {self.place}" if self.place else ""
        return f"waits for its app to be imported, since {time.monotonic() - self.since:.0f} s{at}"


Listener: TypeAlias = Callable[[str, SlowImport], None]
"""Called with an app whose import is slow, on the reactor's thread; must not block."""


class SlowImports:
    """The apps whose imports are slow now. Written on the reactor's thread; all other methods are thread-safe."""

    def __init__(self) -> None:
        """Start with none."""
        self._now: dict[str, SlowImport] = {}
        self._listeners: list[Listener] = []
        self._told: dict[str, float] = {}
        """Duration of each app's import in seconds when the listeners were last called."""
        self._lock = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` for every slow import, and again each time its duration has grown by a factor of four."""
        with self._lock:
            self._listeners.append(listener)

    def get(self, app: str) -> SlowImport | None:
        """Return the slow import of an app; None if there is none."""
        return self._now.get(app)

    def sentence(self, app: str) -> str | None:
        """Return the sentence about the slow import of an app; None if there is none."""
        slow = self._now.get(app)
        return None if slow is None else slow.sentence()

    def note(self, app: str, slow: SlowImport | None) -> None:
        """Record the current line of an app's import, or None when it is over."""
        if slow is None:
            self._now.pop(app, None)
            self._told.pop(app, None)
            return
        before, self._now[app] = self._now.get(app), slow
        passed, last = time.monotonic() - slow.since, self._told.get(app)
        found = slow.place and before is not None and not before.place
        if last is None or found or passed >= AGAIN * last:
            self._told[app] = passed
            with self._lock:
                listeners = list(self._listeners)
            for listener in listeners:
                listener(app, slow)


def nowhere(_stack: str) -> str:
    """Return no line for any stack. Used if no ``Place`` is given."""
    return ""


def unheard(_slow: SlowImport | None) -> None:
    """Do nothing. Used if no listener is given."""


class Watchdog:
    """The orchestrator's end of the pipe of one import. Reactor thread only.

    Attributes:
        stack: The last dump that is certainly complete, or else an incomplete one.
        place: The user's line in it.
    """

    def __init__(
        self,
        loop: "AbstractEventLoop",
        descriptor: int,
        timeout: float,
        place: Place,
        hear: Callable[[SlowImport | None], None],
    ) -> None:
        """Start to read ``descriptor``, which this object closes; ``hear`` is called with the import's line."""
        os.set_blocking(descriptor, False)
        self.stack = ""
        self.place = ""
        self._loop = loop
        self._descriptor: int | None = descriptor
        self._find = place
        self._hear = hear
        self._since = time.monotonic()
        self._data = b""
        self._whole = False
        self._told = False
        self._late = loop.call_later(interval(timeout) + LATE, self._tell)
        loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Stop reading, because the import is over or no longer needed."""
        self._late.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            self._hear(None)

    def catch_up(self) -> None:
        """Read what was written up to now."""
        with contextlib.suppress(BlockingIOError):
            while self._descriptor is not None and (data := os.read(self._descriptor, _MOST_BYTES)):
                self._take(data)

    def _read(self) -> None:
        assert self._descriptor is not None  # a closed one is not read
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._descriptor, _MOST_BYTES)
            if data:
                self._take(data)
                if self.place or self._told:  # it may be part of an incomplete dump
                    self._tell()
            else:  # the import is over, or its process
                self._loop.remove_reader(self._descriptor)

    def _take(self, data: bytes) -> None:
        self._data = (self._data + data)[-_MOST_BYTES:]
        before, begin, newest = self._data.rpartition(_BEGIN)
        self._data = begin + newest
        stack = self._data.decode("utf-8", errors="replace")
        main = stack.rpartition(_THREAD)[2]  # the main thread, which is dumped last
        self.place = self._find(main) or self._find(stack) or self.place
        whole = before[before.rfind(_BEGIN) :] if _BEGIN in before else b""  # complete, as another one follows it
        if whole or not self._whole:
            self.stack, self._whole = (whole.decode("utf-8", errors="replace"), True) if whole else (stack, False)

    def _tell(self) -> None:
        self._late.cancel()
        self._told = True
        self._hear(SlowImport(self._since, self.place))
