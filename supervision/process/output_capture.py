"""Capture of a process's stdout or stderr: the pipe is always drained, and the last part of the output is kept."""

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
"""If two reads follow each other within this many seconds, the process is assumed to write a lot."""
_PAUSE: Final = 0.002
"""Seconds between reads of such a pipe. A wake-up for every line would cost more time than the lines."""
_LARGE_BYTES: Final = 1024 * 1024
"""Size to which such a pipe is enlarged, so that its writer need not wait meanwhile."""


class Capture:
    """Our end of one pipe. Reactor thread only.

    Attributes:
        total: Bytes written by the process so far.
        on_read: Called after each read, if set.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        on_data: Callable[[bytes], None] | None = None,
        redactor: Redactor = NOTHING,
    ) -> None:
        """Start reading ``descriptor``, which this object closes. ``on_data`` is called with the unchanged bytes.

        ``redactor`` removes secrets from the text that this object returns, even if several writes split a secret.
        """
        os.set_blocking(descriptor, False)
        self._loop = loop
        self._descriptor: int | None = descriptor
        self._tail = bytearray()
        self._on_data = on_data
        self._redactor = redactor
        self._rest = max(0, redactor.longest - 1)  # bytes at the start of the kept part that may belong to a secret
        self._read_at = 0.0
        self._pause: asyncio.TimerHandle | None = None
        self._large = False
        self.total = 0
        self.on_read: Callable[[], None] | None = None
        loop.add_reader(descriptor, self._read)

    def text(self) -> str:
        """Return the last part of the output, at most 64 KiB."""
        cut = len(self._tail) > TAIL_BYTES
        data = self._redactor.data(unmarked(bytes(self._tail), cut=cut))
        if cut:  # its first bytes may be the end of a secret
            data = data[self._rest :][-TAIL_BYTES:]
        return data.decode("utf-8", errors="replace")

    def forget(self) -> None:
        """Discard the output read so far, as it belongs to work that has ended."""
        self._tail.clear()

    def catch_up(self) -> None:
        """Read what the process has written up to now. Called when it has sent a message by other means."""
        left = 0 if self._descriptor is None else unread_bytes(self._descriptor)
        while left > 0 and self._descriptor is not None:
            before = self.total
            with contextlib.suppress(BlockingIOError):
                self._take()
            if self.total == before:
                return
            left -= self.total - before

    def drain(self) -> None:
        """Read all remaining output of a dead process, and close the pipe."""
        with contextlib.suppress(BlockingIOError):  # a process outside its tree holds the pipe open
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
        """Read what was written during the pause. Start another pause if there was anything."""
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
            with contextlib.suppress(OSError):  # the user has reached the limit of large pipes
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
