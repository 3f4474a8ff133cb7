"""What a process writes to stdout or stderr: always drained, the last part kept, lines handed on within a bound."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final

from understudy.messages.redaction import NOTHING, Redactor
from understudy.supervision.linux import unread_bytes

TAIL_BYTES: Final = 64 * 1024
LINE_BYTES: Final = 8 * 1024
"""A longer line is handed on in pieces."""
LINES_PER_SECOND: Final = 500
"""Lines of one stream that are handed on; the rest of that second's lines are only counted."""
_READ_BYTES: Final = 64 * 1024


class Capture:
    """Our end of one pipe. Used on the reactor's thread only.

    Attributes:
        total: Bytes written by the process so far.
        dropped_lines: Lines that were not handed on because there were too many.
        on_data: Called after each read, where set.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        on_line: Callable[[str], None] | None = None,
        redactor: Redactor = NOTHING,
    ) -> None:
        """Start reading ``descriptor``, which this object closes; ``on_line`` hears each line without its end.

        What is handed on, or given as text, has gone through ``redactor``. A secret is found however it was cut by
        writes, and where it is cut by a bound of ours.
        """
        os.set_blocking(descriptor, False)
        self._loop = loop
        self._descriptor: int | None = descriptor
        self._tail = bytearray()
        self._line = bytearray()
        self._on_line = on_line
        self._redactor = redactor
        self._rest = max(0, redactor.longest - 1)  # bytes at a cut that may be a part of a secret
        self._second = 0
        self._lines_left = LINES_PER_SECOND
        self.total = 0
        self.dropped_lines = 0
        self.on_data: Callable[[], None] | None = None
        loop.add_reader(descriptor, self._read)

    def text(self) -> str:
        """Give the last part of what was written, at most 64 KiB."""
        data = self._redactor.data(bytes(self._tail))
        if len(self._tail) > TAIL_BYTES:  # its first bytes may be the end of a secret
            data = data[self._rest :][-TAIL_BYTES:]
        return data.decode("utf-8", errors="replace")

    def forget(self) -> None:
        """Keep nothing of what has been written so far, read or not: it belongs to work that is over."""
        if self._descriptor is not None and unread_bytes(self._descriptor):
            with contextlib.suppress(BlockingIOError):
                self._take()  # as much as a pipe holds
        self._tail.clear()

    def drain(self) -> None:
        """Read whatever has been written, now, and close. For a process that is dead."""
        with contextlib.suppress(BlockingIOError):  # something outside of its tree holds the pipe: no end will come
            while self._descriptor is not None:
                self._take()
        if self._on_line is not None and self._line:
            self._hand_on(self._line)
            self._line.clear()
        self.close()

    def close(self) -> None:
        """Let go of the pipe."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._take()

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
        if self._on_line is not None:
            self._split(data)
        if self.on_data is not None:
            self.on_data()

    def _split(self, data: bytes) -> None:
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._lines_left = second, LINES_PER_SECOND
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._hand_on(self._line + line)
            self._line.clear()
        self._line += rest
        if len(self._line) > LINE_BYTES + self._rest:
            whole = self._redactor.data(bytes(self._line))
            cut = max(0, len(whole) - self._rest)
            self._hand_on(whole[:cut])
            self._line[:] = whole[cut:]

    def _hand_on(self, line: bytes | bytearray) -> None:
        assert self._on_line is not None  # lines are only cut where somebody listens
        if self._lines_left:
            self._lines_left -= 1
            data = self._redactor.data(bytes(line))[:LINE_BYTES]
            self._on_line(data.decode("utf-8", errors="replace"))
        else:
            self.dropped_lines += 1
