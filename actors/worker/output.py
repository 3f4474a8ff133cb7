"""Output of a worker that many jobs share: each line is marked with the job whose code printed it.

The stream objects stay the same, because handlers of ``logging``, loguru and others hold them since the import; only
their methods are replaced. Context variables tell whose code is running, which covers tasks and ``asyncio.to_thread``.
A thread started in another way has no job; its output belongs to the worker.

A worker that runs one attempt at a time needs none of this: all its output belongs to that attempt.
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
"""Most bytes of an unfinished line that wait for its end, as in Python's own buffer."""

_streams: Final[list["_Marked"]] = []
_used: Final[set[bytes]] = set()
"""Labels with output that were not reported as finished."""


def standard_streams() -> list[io.TextIOWrapper]:
    """Return this process's stdout and stderr as Python's own objects, even if they were replaced."""
    found: tuple[object, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    wrappers: list[io.TextIOWrapper] = []
    for stream in found:
        if isinstance(stream, io.TextIOWrapper) and stream not in wrappers:
            wrappers.append(cast("io.TextIOWrapper", stream))
    return wrappers


def mark_output() -> None:
    """Mark everything printed in this process from now on with its job. Main thread, before the first job."""
    for stream in standard_streams():
        if not stream.closed and stream.fileno() in (1, 2):  # another file of the app
            _streams.append(_Marked(stream))


def finish(run_id: str, step: str | None = None, attempt: int | None = None) -> None:
    """Finish a job's output, including an unfinished line."""
    if not _used:
        return
    label = _label(run_id, step, attempt)
    if label in _used:
        _used.discard(label)
        for stream in _streams:
            stream.finish(label)


class _Marked:
    """The replaced methods of one stream. Thread-safe: each label has its own buffer, and writes are whole."""

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
        """Replace ``TextIOWrapper.write``."""
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
        """Replace ``TextIOWrapper.writelines``."""
        for line in lines:
            self.write(line)

    def write_bytes(self, data: Any) -> int:
        """Replace ``BufferedWriter.write``."""
        label = _current()
        if label is None:
            written: int = self._write_bytes(data)
            return written
        copy = bytes(data)
        if label and copy:
            self._emit(label, self._waiting.pop(label, b"") + copy)
        return len(copy)

    def flush(self) -> None:
        """Replace ``TextIOWrapper.flush``."""
        label = _current()
        if label and (data := self._waiting.pop(label, b"")):
            self._emit(label, data)
        io.TextIOWrapper.flush(self._stream)

    def finish(self, label: bytes) -> None:
        """Write a job's remaining output, and a mark for its end."""
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
                except BlockingIOError:  # a child process with the same pipe may have set it non-blocking
                    select.select([], [self._descriptor], [])
                else:
                    break


def _current() -> bytes | None:
    """Return the label of the running code's job; empty for a silent job, None if there is no job."""
    port = program.get()
    if port is not None:
        return b"" if port.silent else _label(port.run_id, None, None)
    step = running.get()
    return None if step is None else _label(step.run_id, step.step, step.attempt)


@lru_cache(maxsize=1024)
def _label(run_id: str, step: str | None, attempt: int | None) -> bytes | None:
    label = json.dumps([run_id, step, attempt]).encode()
    return label if len(label) <= LONGEST_LABEL else None
