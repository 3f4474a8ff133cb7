"""What a process writes to stdout or stderr: always drained and handed on, the last part kept."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Final

from greenroom.messages.frames.output_marks import unmarked
from greenroom.messages.secrets.redaction import NOTHING, Redactor
from greenroom.supervision.kernel.linux import unread_bytes

TAIL_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024
_OFTEN: Final = 0.001
"""Seconds between two reads from which on the process is taken to write a lot."""
_PAUSE: Final = 0.002
"""Seconds for which such a pipe is left to fill: to be woken for every line would take more time than the lines."""
_LARGE_BYTES: Final = 1024 * 1024
"""What such a pipe is made to hold, so that its writer need not wait meanwhile."""


class Capture:
    """Our end of one pipe. Reactor thread only.

    Attributes:
        total: Bytes written by the process so far.
        on_read: Called after each read, where set.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        on_data: Callable[[bytes], None] | None = None,
        redactor: Redactor = NOTHING,
    ) -> None:
        """Start reading ``descriptor``, which this object closes; ``on_data`` hears the bytes as they are.

        What is given as text has gone through ``redactor``. A secret is found however it was cut by writes.
        """
        os.set_blocking(descriptor, False)
        self._loop = loop
        self._descriptor: int | None = descriptor
        self._tail = bytearray()
        self._on_data = on_data
        self._redactor = redactor
        self._rest = max(0, redactor.longest - 1)  # bytes at a cut that may be a part of a secret
        self._read_at = 0.0
        self._pause: asyncio.TimerHandle | None = None
        self._large = False
        self.total = 0
        self.on_read: Callable[[], None] | None = None
        loop.add_reader(descriptor, self._read)

    def text(self) -> str:
        """Return the last part of what was written, at most 64 KiB."""
        cut = len(self._tail) > TAIL_BYTES
        data = self._redactor.data(unmarked(bytes(self._tail), cut=cut))
        if cut:  # its first bytes may be the end of a secret
            data = data[self._rest :][-TAIL_BYTES:]
        return data.decode("utf-8", errors="replace")

    def forget(self) -> None:
        """Keep nothing of what has been read so far: it belongs to work that is over."""
        self._tail.clear()

    def catch_up(self) -> None:
        """Read what the process has written up to now. For a moment at which it has said something by other means."""
        left = 0 if self._descriptor is None else unread_bytes(self._descriptor)
        while left > 0 and self._descriptor is not None:
            before = self.total
            with contextlib.suppress(BlockingIOError):
                self._take()
            if self.total == before:
                return
            left -= self.total - before

    def drain(self) -> None:
        """Read whatever has been written, now, and close. For a process that is dead."""
        with contextlib.suppress(BlockingIOError):  # something outside of its tree holds the pipe: no end will come
            while self._descriptor is not None:
                self._take()
        self.close()

    def close(self) -> None:
        """Close the pipe."""
        if self._descriptor is not None:
            if self._pause is not None:
                self._pause.cancel()
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._take()
        now = self._loop.time()
        if now - self._read_at < _OFTEN and self._descriptor is not None:
            self._enlarge()
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(_PAUSE, self._go_on)
        self._read_at = now

    def _go_on(self) -> None:
        """Take what has come in the pause; as long as there is more each time, it is followed by another one."""
        self._pause = None
        before = self.total
        self.catch_up()
        if self._descriptor is None:
            return
        if self.total > before:
            self._pause = self._loop.call_later(_PAUSE, self._go_on)
        else:
            self._read_at = 0.0
            self._loop.add_reader(self._descriptor, self._read)

    def _enlarge(self) -> None:
        if not self._large and self._descriptor is not None:
            self._large = True
            with contextlib.suppress(OSError):  # the user has as many large pipes as are allowed
                fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _LARGE_BYTES)

    def _take(self) -> None:
        assert self._descriptor is not None  # a closed pipe is not read
        data = os.read(self._descriptor, _READ_BYTES)
        if not data:
            self.close()
            return
        self.total += len(data)
        self._tail += data
        if len(self._tail) > TAIL_BYTES + self._rest:
            del self._tail[: -TAIL_BYTES - self._rest]
        if self._on_data is not None:
            self._on_data(data)
        if self.on_read is not None:
            self.on_read()
