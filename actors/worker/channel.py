"""A worker's end of its socket: the main thread reads, any thread sends, and a second thread sends heartbeats."""

import _thread
import contextlib
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

from greenroom.messages.codecs.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from greenroom.messages.core.errors import CodecError, FrameTooLarge, NotSerializable
from greenroom.messages.frames.envelope import IN_A_FILE
from greenroom.messages.frames.worker import Emitted, FromWorker, Heartbeat, Progress, ToWorker

_READ_BYTES: Final = 64 * 1024  # below the size from which malloc maps memory separately, which costs time
_PROTOCOL_EXIT: Final = 76
"""Exit code after invalid bytes from the orchestrator, or if it can no longer be read (``EX_PROTOCOL``)."""


def unsendable(what: str, error: CodecError) -> NotSerializable:
    """Return the failure of an attempt whose outcome could not be sent, with what to do about one that is too long."""
    way = f"; {IN_A_FILE}" if isinstance(error, FrameTooLarge) else ""
    return NotSerializable(f"{what} cannot be sent: {error}{way}")


class Channel:
    """Connection to the orchestrator over one blocking socket.

    The working thread also reads, so that a message needs no change of threads. A second thread sends heartbeats, and
    watches for the end of the orchestrator while the first is busy.

    Args:
        connection: The socket. The channel takes it over.
        heartbeat: Seconds between heartbeats.
        beat: Creates a heartbeat; called on the second thread.
    """

    def __init__(self, connection: socket.socket, heartbeat: float, beat: Callable[[], Heartbeat] = Heartbeat) -> None:
        """Take over the socket. No heartbeat is sent before ``start``."""
        connection.settimeout(None)
        self._connection = connection
        self._heartbeat = heartbeat
        self._make_beat = beat
        self._pid = os.getpid()
        self._inode = os.fstat(connection.fileno()).st_ino
        self._decoder = FrameDecoder()
        self._sending = threading.Lock()  # two threads write frames, which must not interleave

    def start(self) -> None:
        """Start sending heartbeats."""
        # Without ``threading``, whose ``start`` waits forever if there is too little memory for the thread to begin.
        _thread.start_new_thread(self._beat, ())

    def fileno(self) -> int:
        """Return the socket's file descriptor, for event loops."""
        return self._connection.fileno()

    def read(self) -> list[ToWorker]:
        """Wait for bytes and return the messages that are complete with them, perhaps none. Main thread.

        The process ends here if the orchestrator is gone, or sends invalid bytes.
        """
        try:
            data = self._connection.recv(_READ_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            _abandoned()
        try:
            return [TO_WORKER.decode(body).message for body in self._decoder.feed(data)]
        except CodecError as error:
            sys.stderr.write(f"the orchestrator sent what is not a message: {error}\n")
            sys.stderr.flush()
            os._exit(_PROTOCOL_EXIT)

    def send(self, message: FromWorker) -> None:
        """Send a message; blocks while the orchestrator does not read. Thread-safe.

        A fork of this process made by user code may report progress. It ends here if it returns from that code with an
        answer. There must be only one answer, and the process that sends it goes on to read the next message.

        Raises:
            CodecError: The message cannot be written, and nothing was sent.
            RuntimeError: A fork of this process emits: its long frames could mix with those of this process.
        """
        if os.getpid() != self._pid and not isinstance(message, Progress):
            if isinstance(message, Emitted):
                msg = "a step emits from its own process only, and this is a fork of it: return the value to the step"
                raise RuntimeError(msg)
            os._exit(0)
        frame = FROM_WORKER.encode(message)
        try:
            with self._sending:
                self._connection.sendall(frame)
        except (BrokenPipeError, ConnectionResetError):
            _abandoned()

    def _beat(self) -> None:
        poll: Any = select.poll()
        poll.register(self._connection.fileno(), select.POLLRDHUP)  # only to see its end: the other thread reads
        while not poll.poll(self._heartbeat * 1000):
            self._check_socket()
            self.send(self._make_beat())
        self._check_socket()
        _abandoned()

    def _check_socket(self) -> None:
        """End the process if its code has closed the socket, whose descriptor may belong to another file by now."""
        try:
            same = os.fstat(self._connection.fileno()).st_ino == self._inode
        except OSError:
            same = False
        if not same:
            with contextlib.suppress(OSError):  # it may also be closed
                os.write(2, b"code in this worker has closed the socket to its orchestrator\n")
            os._exit(_PROTOCOL_EXIT)


def _abandoned() -> NoReturn:
    """End the process at once, because its orchestrator is gone and nothing receives its work."""
    os._exit(0)
