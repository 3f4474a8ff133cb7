"""A worker's socket on the reactor's loop: frames in, frames out, never blocking.

The socket is read and written directly on readiness. That is less work per frame than a transport and a protocol, and
it allows the one thing that these do not offer: to read at once, when the process is known to be dead, whatever it had
sent before.

A long message is understood in another thread (``supervision.loop.offload``), so that nobody on the loop waits for
it. Its socket is not read meanwhile: what comes after it stays in the kernel, and stays in order.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from greenroom.messages.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import FromWorker, ToWorker
from greenroom.supervision.loop import offload

READ_BYTES: Final = 64 * 1024
"""Kept below the size from which the allocator maps and unmaps memory for each read, which costs more than the read."""
LONG_BYTES: Final = 256 * 1024
"""A longer message is understood in another thread. One of this length takes about 4 ms."""
HIGH_WATER_BYTES: Final = 64 * 1024 * 1024
"""How much may wait for a worker that does not read. Four times the longest message."""
UNREAD_SECONDS: Final = 10.0
"""How long a worker for which more than that waits may leave all of it unread. One that reads is given all there is: a
run of many large results needs them all when its program is replayed."""


class Channel:
    """The orchestrator's end of one worker's socket. Reactor thread only.

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
        hearing: Whether a long message is being understood, and nothing is read meanwhile.
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
        self._taken_at = 0.0  # when it took something last, or the first of what waits came to wait
        self._readable = True  # False from the end or the first fault on
        self.hearing = False
        self._drained: Callable[[], None] | None = None  # to be called once all that had arrived is delivered
        self._closed = False
        self._faulty = False
        loop.add_reader(sock, self._receive)

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
            if len(self._waiting) > HIGH_WATER_BYTES and self._loop.time() - self._taken_at > UNREAD_SECONDS:
                self._fail(Exit(kind="hung", detail=f"it left {len(self._waiting)} bytes of messages unread"))
            return self._written
        sent = self._push(frame)
        if sent < len(frame):
            self._waiting += memoryview(frame)[sent:]
            self._taken_at = self._loop.time()
            self._loop.add_writer(self._sock, self._write)
        return self._written

    def drain(self, then: Callable[[], None]) -> None:
        """Read whatever has arrived. For a process that is dead: nothing can be on its way any more.

        ``then`` is called once all of it is delivered: at once, unless there is a long message in it. Not to be called
        again.
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
        if taken := self._push(self._waiting):
            del self._waiting[:taken]
            self._taken_at = self._loop.time()
        if not self._waiting:
            self._loop.remove_writer(self._sock)

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
        self._hand_on(bodies, fault)  # only now, with the decoder in order: a listener may raise

    def _hand_on(self, bodies: Sequence[bytes], fault: CodecError | None) -> None:
        """Hand on what these bodies hold, then the fault behind them; from a long one on, once that is understood."""
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
        """Have a long message understood in another thread; until it is, nothing more is read."""
        self.hearing = True
        self._loop.remove_reader(self._sock)

        def understand() -> None:
            understood: Any
            try:
                understood = FROM_WORKER.decode(body)
            except Exception as error:  # noqa: BLE001  it is raised again on the loop
                understood = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                self._loop.call_soon_threadsafe(self._understood, understood, rest, fault)

        offload.run(understand)

    def _understood(self, understood: Any, rest: Sequence[bytes], fault: CodecError | None) -> None:
        """Hand on a long message and what came with its last bytes, and read on."""
        self.hearing = False
        try:
            if self._readable:  # else there was a fault in what we sent meanwhile
                self._hand_heard(understood, rest, fault)
        finally:
            if self._drained is not None:
                self._drain()
            elif self._readable and not self.hearing:
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
