"""A worker's end of its socket: reading by whoever has the main thread, sending from any thread, and a beat beside."""

import _thread
import contextlib
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

from greenroom.messages.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from greenroom.messages.core.errors import CodecError
from greenroom.messages.frames.worker import FromWorker, Heartbeat, Progress, ToWorker

_READ_BYTES: Final = 64 * 1024  # below malloc's threshold for a mapping of its own, which each read would pay for
_PROTOCOL_EXIT: Final = 76
"""Exit code where the orchestrator sent bytes that are no message, or cannot be heard any more (``EX_PROTOCOL``)."""


class Channel:
    """Speaks with the orchestrator over one blocking socket.

    The thread that works is the one that reads, so a message costs no change of threads. A second thread beats, and
    watches for the end of the orchestrator while the first is busy.

    Args:
        connection: The socket; it is the channel's from now on.
        heartbeat: Seconds between beats.
        beat: Makes a beat; called on the second thread.
    """

    def __init__(self, connection: socket.socket, heartbeat: float, beat: Callable[[], Heartbeat] = Heartbeat) -> None:
        """Take over the socket; nobody beats before ``start``."""
        connection.settimeout(None)
        self._connection = connection
        self._heartbeat = heartbeat
        self._make_beat = beat
        self._pid = os.getpid()
        self._inode = os.fstat(connection.fileno()).st_ino
        self._decoder = FrameDecoder()
        self._sending = threading.Lock()  # two threads write frames; a frame must not be cut by another

    def start(self) -> None:
        """Begin to beat."""
        # Not by ``threading``, whose ``start`` waits for ever where there is too little memory for the thread to begin.
        _thread.start_new_thread(self._beat, ())

    def fileno(self) -> int:
        """Give the socket's descriptor, for loops that wait for more than one thing."""
        return self._connection.fileno()

    def read(self) -> list[ToWorker]:
        """Wait for bytes and give the messages that are whole with them, maybe none. Main thread, or the loop in it.

        The process ends here where the orchestrator is gone, or sends what is no message.
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
            sys.stderr.write(f"the orchestrator sent what is no message: {error}\n")
            sys.stderr.flush()
            os._exit(_PROTOCOL_EXIT)

    def send(self, message: FromWorker) -> None:
        """Send a message; blocks while the orchestrator does not read. Any thread.

        A copy of this process that user code has forked may report progress. It ends here where it comes back from that
        code with an answer: there must be one, and whoever gives it goes on to read the next message.

        Raises:
            CodecError: The message cannot be written, and nothing was sent.
        """
        if os.getpid() != self._pid and not isinstance(message, Progress):
            os._exit(0)
        frame = FROM_WORKER.encode(message)
        try:
            with self._sending:
                self._connection.sendall(frame)
        except (BrokenPipeError, ConnectionResetError):
            _abandoned()

    def _beat(self) -> None:
        poll: Any = select.poll()
        poll.register(self._connection.fileno(), select.POLLRDHUP)  # its end only: reading is the other thread's
        while not poll.poll(self._heartbeat * 1000):
            self._check_socket()
            self.send(self._make_beat())
        self._check_socket()
        _abandoned()

    def _check_socket(self) -> None:
        """End the process where code in it has closed the socket, whose number may be another file's by now."""
        try:
            same = os.fstat(self._connection.fileno()).st_ino == self._inode
        except OSError:
            same = False
        if not same:
            with contextlib.suppress(OSError):  # that may be closed, too
                os.write(2, b"code in this worker has closed the socket to its orchestrator\n")
            os._exit(_PROTOCOL_EXIT)


def _abandoned() -> NoReturn:
    """End the process at once: its orchestrator is gone, and nobody may work on for it."""
    os._exit(0)
