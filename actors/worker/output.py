"""What code prints in a worker that many jobs share: each line under the name of the job whose code printed it.

The streams stay the objects that they are, since handlers of ``logging``, loguru and others hold them from the import
on; only their methods are replaced. Whose code is running is a matter of context variables, so it holds for tasks and
for ``asyncio.to_thread``. A thread that was started otherwise has no job, and its words are the worker's.

In a worker that runs one attempt at a time nothing of this is needed: what it writes meanwhile is that attempt's.
"""

import io
import json
import os
import select
import sys
from functools import lru_cache
from typing import Any, Final, cast

from greenroom.actors.api.step_context import running
from greenroom.actors.context import program
from greenroom.messages.frames.output_marks import LONGEST_LABEL, marked

_WAITING_BYTES: Final = 8 * 1024
"""So much of a line that has not ended waits for its end, as Python's own buffer does."""

_streams: Final[list["_Marked"]] = []
_used: Final[set[bytes]] = set()
"""Labels under which something was written that has not been said to be over."""


def standard_streams() -> list[io.TextIOWrapper]:
    """Give this process's stdout and stderr as Python's own objects, whatever has been put in their place."""
    found: tuple[object, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    wrappers: list[io.TextIOWrapper] = []
    for stream in found:
        if isinstance(stream, io.TextIOWrapper) and stream not in wrappers:
            wrappers.append(cast("io.TextIOWrapper", stream))
    return wrappers


def share() -> None:
    """Have whatever is printed in this process from now on marked with its job. Main thread, before the first job."""
    for stream in standard_streams():
        if not stream.closed and stream.fileno() in (1, 2):  # another file of the app's is no business of ours
            _streams.append(_Marked(stream))


def finish(run_id: str, step: str | None = None, attempt: int | None = None) -> None:
    """Say that a job has come to its end: what it began of a line is a line."""
    if not _used:
        return
    label = _label(run_id, step, attempt)
    if label in _used:
        _used.discard(label)
        for stream in _streams:
            stream.finish(label)


class _Marked:
    """Stands behind the methods of one stream. Any thread: each label has a buffer of its own, and writes are whole."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream
        self._descriptor = stream.fileno()
        self._waiting: dict[bytes, bytes] = {}
        methods: Any = stream
        methods.write, methods.writelines, methods.flush = self.write, self.write_lines, self.flush
        buffer: Any = stream.buffer
        self._write_bytes = buffer.write
        buffer.write = self.write_bytes

    def write(self, text: str) -> int:
        """Stand for ``TextIOWrapper.write``."""
        label = _current()
        if label is None or not isinstance(cast("object", text), str):
            return io.TextIOWrapper.write(self._stream, text)
        if label:
            data = self._waiting.pop(label, b"") + text.encode(self._stream.encoding, self._stream.errors or "strict")
            if "\r" in text or len(data) > _WAITING_BYTES:
                self._emit(label, data)
                return len(text)
            whole = data.rfind(b"\n") + 1
            if whole:
                self._emit(label, data[:whole])
            if whole < len(data):
                self._waiting[label] = data[whole:]
        return len(text)

    def write_lines(self, lines: Any) -> None:
        """Stand for ``TextIOWrapper.writelines``."""
        for line in lines:
            self.write(line)

    def write_bytes(self, data: Any) -> int:
        """Stand for ``BufferedWriter.write``."""
        label = _current()
        if label is None:
            written: int = self._write_bytes(data)
            return written
        copy = bytes(data)
        if label and copy:
            self._emit(label, self._waiting.pop(label, b"") + copy)
        return len(copy)

    def flush(self) -> None:
        """Stand for ``TextIOWrapper.flush``."""
        label = _current()
        if label and (data := self._waiting.pop(label, b"")):
            self._emit(label, data)
        io.TextIOWrapper.flush(self._stream)

    def finish(self, label: bytes) -> None:
        """Write what waits of a job, and that it has ended."""
        if data := self._waiting.pop(label, b""):
            self._emit(label, data)
        self._emit(label, b"")
        _used.discard(label)

    def _emit(self, label: bytes, data: bytes) -> None:
        _used.add(label)
        for piece in marked(label, data):
            while True:
                try:
                    os.write(self._descriptor, piece)
                except BlockingIOError:  # a child that has the same pipe wants it so
                    select.select([], [self._descriptor], [])
                else:
                    break


def _current() -> bytes | None:
    """Give the label of the running code's job; empty where it is not to be heard, None where there is no job."""
    port = program.get()
    if port is not None:
        return b"" if port.silent else _label(port.run_id, None, None)
    step = running.get()
    return None if step is None else _label(step.run_id, step.step, step.attempt)


@lru_cache(maxsize=1024)
def _label(run_id: str, step: str | None, attempt: int | None) -> bytes | None:
    label = json.dumps([run_id, step, attempt]).encode()
    return label if len(label) <= LONGEST_LABEL else None
