"""A worker's socket on the reactor's loop: frames in, frames out, never blocking.

The socket is read and written directly on readiness. That is less work per frame than a transport and a protocol, and
it allows the one thing that these do not offer: to read at once, when the process is known to be dead, whatever it had
sent before.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from understudy.messages.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from understudy.messages.errors import CodecError
from understudy.messages.failures import Exit
from understudy.messages.frames import FromWorker, ToWorker

READ_BYTES: Final = 64 * 1024
"""Kept below the size from which the allocator maps and unmaps memory for each read, which costs more than the read."""
HIGH_WATER_BYTES: Final = 64 * 1024 * 1024
"""How much may wait for a worker that does not read. Four times the longest message."""


class Channel:
    """The orchestrator's end of one worker's socket. Used on the reactor's thread only.

    Args:
        loop: The reactor's loop.
        sock: Our end of the socket pair; the channel closes it.
        incarnation: The worker's life number, which its messages must carry if they carry any.
        on_message: Hears each message.
        on_fault: Called once with the end that the life deserves, when the bytes are no message or too much waits to be
            sent; nothing is heard after it.
        on_end: Called once when the worker's code has shut its end down.

    Attributes:
        delivered: How many bytes the kernel has taken so far. What of them is read is for the other end to say.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        incarnation: int,
        *,
        on_message: Callable[[FromWorker], None],
        on_fault: Callable[[Exit], None],
        on_end: Callable[[], None],
    ) -> None:
        """Start reading."""
        sock.setblocking(False)  # noqa: FBT003  the standard library's own flag
        self._loop = loop
        self._sock = sock
        self._incarnation = incarnation
        self._decoder = FrameDecoder()
        self._on_message = on_message
        self._on_fault = on_fault
        self._on_end = on_end
        self.delivered = 0
        self._written = 0  # bytes of all messages so far
        self._waiting = bytearray()  # what the kernel has not taken yet
        self._readable = True  # False from the end or the first fault on
        self._closed = False
        self._faulty = False
        loop.add_reader(sock, self._read)

    def send(self, message: ToWorker) -> int:
        """Queue a message; it goes nowhere once the channel is closed or has had a fault.

        Returns:
            How many bytes there are of all messages so far, this one included. The worker can have understood it only
            if it has read as many.

        Raises:
            CodecError: It cannot be written as JSON, or is over the size limit. Nothing was sent.
        """
        frame = TO_WORKER.encode(message, incarnation=self._incarnation)
        self._written += len(frame)
        if self._closed or self._faulty:
            return self._written
        if self._waiting:
            self._waiting += frame
            if len(self._waiting) > HIGH_WATER_BYTES:
                self._fail(Exit(kind="hung", detail=f"it left {len(self._waiting)} bytes of messages unread"))
            return self._written
        sent = self._push(frame)
        if sent < len(frame):
            self._waiting += memoryview(frame)[sent:]
            self._loop.add_writer(self._sock, self._write)
        return self._written

    def drain(self) -> None:
        """Read whatever has arrived, now. For a process that is dead: nothing can be on its way any more."""
        while self._readable and self._receive():
            pass

    def close(self) -> None:
        """Let go of the socket."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _push(self, data: bytes | bytearray) -> int:
        """Give the kernel what it takes; say how many bytes that was."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # the worker's code has shut the socket down: nobody will read it
            return len(data)
        self.delivered += sent
        return sent

    def _write(self) -> None:
        del self._waiting[: self._push(self._waiting)]
        if not self._waiting:
            self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        self._receive()

    def _receive(self) -> bool:
        """Take one piece and deliver the messages it completes; say whether there may be more."""
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._stop_reading()
            self._on_end()
            return False
        try:
            self._deliver(data)
        except CodecError as error:
            self._fail(Exit(kind="garbage", detail=str(error)))
        return self._readable

    def _deliver(self, data: bytes) -> None:
        """Hand on every message that is whole now, up to the first fault."""
        bodies: list[bytes] = []
        fault: CodecError | None = None
        try:
            for body in self._decoder.feed(data):
                bodies.append(body)  # noqa: PERF402  what came before a fault must be kept
        except CodecError as error:
            fault = error
        for body in bodies:  # only now, with the decoder in order: a listener may raise
            envelope: Any = FROM_WORKER.decode(body)
            if envelope.incarnation not in (0, self._incarnation):
                claim = f"a message claims to come from life {envelope.incarnation}; this is life {self._incarnation}"
                raise CodecError(claim)
            self._on_message(envelope.message)
            if not self._readable:  # the listener has closed us
                return
        if fault is not None:
            raise fault

    def _fail(self, fault: Exit) -> None:
        if self._readable:
            self._stop_reading()
            self._faulty = True
            self._waiting.clear()
            self._loop.remove_writer(self._sock)
            self._on_fault(fault)

    def _stop_reading(self) -> None:
        self._readable = False
        if not self._closed:
            self._loop.remove_reader(self._sock)
