"""Imports of apps that take long: since when, and at which line they are, for whoever waits.

A zygote must have one thread when it forks, and an import is code of the user's in whose signals and timers nobody may
meddle. So faulthandler's watchdog writes where the main thread stands, every two seconds, to a pipe of the
orchestrator's: a thread of C that needs neither the interpreter's lock nor its code, and that ends with the import.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from greenroom.supervision.zygote.app_loader import interval

LATE: Final = 4.0
"""Seconds after its first word was due in which an import is taken to be slow without one: its code may have stopped
the watchdog."""
AGAIN: Final = 4.0
"""Factor by which the time has grown when those who are waiting are told once more."""
_MOST_BYTES: Final = 64 * 1024
_BEGIN: Final = b"Timeout ("
_THREAD: Final = "Thread 0x"
"""How faulthandler begins, and how it begins each thread."""

Place: TypeAlias = Callable[[str], str]
"""Gives the line of the user's, ``/path/app.py:12``, in what faulthandler wrote; empty where there is none."""


@dataclass(frozen=True, slots=True)
class SlowImport:
    """An import that goes on.

    Attributes:
        since: When it began, on the monotonic clock.
        place: The line of the user's that it was at last; empty where that is not known.
    """

    since: float
    place: str = ""

    def sentence(self) -> str:
        """Return what is waited for, since when, and where it stands."""
        at = f", at {self.place}" if self.place else ""
        return f"waits for its app to be imported, since {time.monotonic() - self.since:.0f} s{at}"


Listener: TypeAlias = Callable[[str, SlowImport], None]
"""Hears of an app whose import is slow. Called on the reactor's thread; must not block."""


class SlowImports:
    """The apps whose imports are slow at this moment. Written on the reactor's thread, read and listened to by any."""

    def __init__(self) -> None:
        """Begin with none."""
        self._now: dict[str, SlowImport] = {}
        self._listeners: list[Listener] = []
        self._told: dict[str, float] = {}
        """Seconds that an app's import had taken when listeners heard of it last."""
        self._lock = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` hear of every slow import, and again each time it has taken four times as long."""
        with self._lock:
            self._listeners.append(listener)

    def get(self, app: str) -> SlowImport | None:
        """Return the slow import of an app, None where there is none."""
        return self._now.get(app)

    def sentence(self, app: str) -> str | None:
        """Return what delays the workers of an app; None if its import is not slow."""
        slow = self._now.get(app)
        return None if slow is None else slow.sentence()

    def note(self, app: str, slow: SlowImport | None) -> None:
        """Note where the import of an app stands, or that it is over."""
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
    """Find no line in any stack: where nobody knows whose code is whose."""
    return ""


def unheard(_slow: SlowImport | None) -> None:
    """Do nothing: where nobody waits for an import."""


class Watchdog:
    """Our end of the pipe of one import. Reactor thread only.

    Attributes:
        stack: The last of what faulthandler wrote that is whole for certain, or else what there is.
        place: The user's line in it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        timeout: float,
        place: Place,
        hear: Callable[[SlowImport | None], None],
    ) -> None:
        """Start to listen on ``descriptor``, which this object closes; ``hear`` is told where the import stands."""
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
        """Stop listening: the import is over, or nobody waits for it."""
        self._late.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            self._hear(None)

    def catch_up(self) -> None:
        """Read what has been written by now."""
        with contextlib.suppress(BlockingIOError):
            while self._descriptor is not None and (data := os.read(self._descriptor, _MOST_BYTES)):
                self._take(data)

    def _read(self) -> None:
        assert self._descriptor is not None  # a closed one is not listened to
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._descriptor, _MOST_BYTES)
            if data:
                self._take(data)
                if self.place or self._told:  # it may be a part of what is being written
                    self._tell()
            else:  # the import is over, or its process
                self._loop.remove_reader(self._descriptor)

    def _take(self, data: bytes) -> None:
        self._data = (self._data + data)[-_MOST_BYTES:]
        before, begin, newest = self._data.rpartition(_BEGIN)
        self._data = begin + newest
        stack = self._data.decode("utf-8", errors="replace")
        main = stack.rpartition(_THREAD)[2]  # the oldest thread, which is told of last
        self.place = self._find(main) or self._find(stack) or self.place
        whole = before[before.rfind(_BEGIN) :] if _BEGIN in before else b""  # another one has begun after it
        if whole or not self._whole:
            self.stack, self._whole = (whole.decode("utf-8", errors="replace"), True) if whole else (stack, False)

    def _tell(self) -> None:
        self._late.cancel()
        self._told = True
        self._hear(SlowImport(self._since, self.place))
