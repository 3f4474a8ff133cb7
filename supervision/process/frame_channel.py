"""A non-blocking channel of frames over a worker's socket, on the reactor's loop.

The socket is read and written directly on readiness. That is less work per frame than a transport and a protocol. It
also allows what these do not offer: to read all remaining messages at once when the process is known to be dead.

A long message is decoded in another thread (``supervision.loop.offload``), so that the loop is not blocked. The socket
is not read meanwhile: later messages wait in the kernel and stay in order.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from greenroom.messages.codecs.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import FromWorker, ToWorker
from greenroom.supervision.loop import offload
from greenroom.supervision.loop.reactor import at_turn_end

READ_BYTES: Final = 64 * 1024
"""Bytes per read. For larger reads the allocator would map and unmap memory, which costs more than the read."""
LONG_READS: Final = 16
"""Most reads of a long message in a row, so that others have their turn."""
LONG_BYTES: Final = 256 * 1024
"""Longer messages are decoded in another thread. One of this length takes about 4 ms."""
HIGH_WATER_BYTES: Final = 64 * 1024 * 1024
"""Most bytes that may wait for a worker that does not read: four times the longest message."""
UNREAD_SECONDS: Final = 10.0
"""Seconds that a worker with more than ``HIGH_WATER_BYTES`` waiting may read nothing. A worker that does read may have
any amount waiting: a replay needs all results of its run, which may be many and large."""


class Channel:
    """The orchestrator's end of one worker's socket. Reactor thread only.

    Args:
        loop: The reactor's loop.
        sock: Our end of the socket pair; the channel closes it.
        incarnation: The worker's life number. Messages that have such a number must have this one.
        on_message: Called with each message.
        on_fault: Called once with an ``Exit`` if the bytes are not a message, or too much waits to be sent. No
            message is delivered after it.
        on_end: Called once when the worker has shut down its end.
        batched: Whether the frames of one turn of the loop are sent together. So a worker that is busy with many runs
            is woken once for all of them.

    Attributes:
        delivered: Number of bytes that the kernel has accepted so far. The worker may not have read all of them.
        hearing: Whether a long message is being decoded, during which the socket is not read.
        muted: Whether the socket is not read for now, so that the worker waits before it sends more.
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
        batched: bool = False,
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
        self._batched = batched
        self._batch: list[bytes] = []  # frames that are sent at the end of the loop's turn
        self._waiting = bytearray()  # bytes that the kernel has not accepted yet
        self._taken_at = 0.0  # when it last accepted bytes, or when the oldest waiting bytes were queued
        self._readable = True  # False from the end or the first fault on
        self.hearing = False
        self.muted = False
        self._drained: Callable[[], None] | None = None  # called once all arrived messages are delivered
        self._closed = False
        self._faulty = False
        loop.add_reader(sock, self._receive)

    def send(self, message: ToWorker) -> int:
        """Queue a message. Do nothing once the channel is closed or has had a fault.

        Returns:
            Number of bytes of all messages so far, this one included. The worker has received this message only if it
            has read that many.

        Raises:
            CodecError: The message cannot be encoded as JSON, or exceeds the size limit. Nothing was sent.
        """
        frame = TO_WORKER.encode(message, incarnation=self._incarnation)
        self._written += len(frame)
        if self._closed or self._faulty:
            return self._written
        if self._waiting:
            self._waiting += frame
            if len(self._waiting) > HIGH_WATER_BYTES and self._loop.time() - self._taken_at > UNREAD_SECONDS:
                self._fail(Exit(kind="hung", detail=f"it left {len(self._waiting)} bytes of messages unread"))
            return self._written
        if not self._batched:
            self._begin_writing(frame)
        else:
            if not self._batch:
                at_turn_end(self._loop, self._send_batch)
            self._batch.append(frame)
        return self._written

    def _send_batch(self) -> None:
        data = b"".join(self._batch)
        self._batch.clear()
        if not (self._closed or self._faulty):
            self._begin_writing(data)

    def _begin_writing(self, data: bytes) -> None:
        """Write what the kernel accepts, and the rest when it is ready. Nothing waits before this."""
        sent = self._push(data)
        if sent < len(data):
            self._waiting += memoryview(data)[sent:]
            self._taken_at = self._loop.time()
            self._loop.add_writer(self._sock, self._write)

    def mute(self, muted: bool) -> None:  # noqa: FBT001  a switch
        """Stop reading, or go on. What was read before is still delivered; the end of the process is not missed."""
        if muted == self.muted:
            return
        self.muted = muted
        if not self._readable or self.hearing or self._closed:
            return
        if muted:
            self._loop.remove_reader(self._sock)
        else:
            self._loop.add_reader(self._sock, self._receive)

    def drain(self, then: Callable[[], None]) -> None:
        """Read all messages that a dead process has sent. Call this once.

        ``then`` is called when all of them are delivered: at once, unless one of them is long.
        """
        self._drained = then
        self._drain()

    def _drain(self) -> None:
        while self._readable and not self.hearing and self._receive():
            pass
        if not self.hearing and self._drained is not None:
            then, self._drained = self._drained, None
            then()

    def close(self) -> None:
        """Close the socket."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _push(self, data: bytes | bytearray) -> int:
        """Write as many bytes as the kernel accepts; return their number."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # the worker's code has shut down the socket and will not read
            return len(data)
        self.delivered += sent
        return sent

    def _write(self) -> None:
        if taken := self._push(self._waiting):
            del self._waiting[:taken]
            self._taken_at = self._loop.time()
        if not self._waiting:
            self._loop.remove_writer(self._sock)

    def _receive(self) -> bool:
        """Read once and deliver the messages that are complete; return whether there may be more.

        Of a long message up to a megabyte is read, which takes less time than as many turns of the loop.
        """
        try:
            data = self._sock.recv(READ_BYTES)
            if self._decoder.buffer:  # a message has begun
                for _ in range(LONG_READS):
                    if not self._decoder.add(data):
                        break
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
        """Deliver every message that is complete now, up to the first fault."""
        bodies: list[bytes] = []
        fault: CodecError | None = None
        try:
            for body in self._decoder.feed(data):
                bodies.append(body)  # noqa: PERF402  bodies before a fault must be kept
        except CodecError as error:
            fault = error
        self._hand_on(bodies, fault)  # only now, with the decoder in order: a listener may raise

    def _hand_on(self, bodies: Sequence[bytes], fault: CodecError | None) -> None:
        """Deliver the messages of these bodies, then the fault. A long message delays what follows it."""
        for place, body in enumerate(bodies):
            if len(body) > LONG_BYTES:
                self._hear_aside(body, bodies[place + 1 :], fault)
                return
            envelope: Any = FROM_WORKER.decode(body)
            if envelope.incarnation not in (0, self._incarnation):
                self._refuse(envelope)
            self._on_message(envelope.message)
            if not self._readable:  # the listener has closed us
                return
        if fault is not None:
            raise fault

    def _refuse(self, envelope: Any) -> NoReturn:
        claim = f"a message claims to come from life {envelope.incarnation}; this is life {self._incarnation}"
        raise CodecError(claim)

    def _hear_aside(self, body: bytes, rest: Sequence[bytes], fault: CodecError | None) -> None:
        """Decode a long message in another thread; the socket is not read until that is done."""
        self.hearing = True
        self._loop.remove_reader(self._sock)

        def understand() -> None:
            understood: Any
            try:
                understood = FROM_WORKER.decode(body)
            except Exception as error:  # noqa: BLE001  it is raised again on the loop
                understood = error
            with contextlib.suppress(RuntimeError):  # the loop is closed, so the message is not needed
                self._loop.call_soon_threadsafe(self._understood, understood, rest, fault)

        offload.run(understand)

    def _understood(self, understood: Any, rest: Sequence[bytes], fault: CodecError | None) -> None:
        """Deliver a decoded long message and the bodies that were read with it, then continue to read."""
        self.hearing = False
        try:
            if self._readable:  # else sending has failed meanwhile
                self._hand_heard(understood, rest, fault)
        finally:
            if self._drained is not None:
                self._drain()
            elif self._readable and not self.hearing and not self.muted:
                self._loop.add_reader(self._sock, self._receive)

    def _hand_heard(self, understood: Any, rest: Sequence[bytes], fault: CodecError | None) -> None:
        try:
            if isinstance(understood, Exception):
                raise understood
            if understood.incarnation not in (0, self._incarnation):
                self._refuse(understood)
            self._on_message(understood.message)
            if self._readable:
                self._hand_on(rest, fault)
        except CodecError as error:
            self._fail(Exit(kind="garbage", detail=str(error)))

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
