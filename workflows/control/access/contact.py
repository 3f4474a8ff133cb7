"""Connecting to the control socket of a home. Imports little, as a command asks first whether anybody listens."""

import os
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from greenroom.workflows.home.home import Home

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to wait for room in the socket's queue when no command is sent."""


def is_open(home: Home) -> bool:
    """Return whether an orchestrator accepts commands on a home, and has the journal of that home.

    Raises:
        JournalError: The home may belong to another user, and so may its orchestrator.
    """
    home.check()
    if not home.is_meant():
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connect(connection, home, CONNECT_TIMEOUT)
    except BlockingIOError:
        return True  # its queue is full
    except OSError:
        return False
    return True


def connect(connection: socket.socket, home: Home, timeout: float | None) -> None:
    """Connect to a home's socket, waiting at most ``timeout`` seconds for room in its queue.

    The wait is done by the kernel. Python's timeouts make the socket non-blocking, so that a full queue is an error.

    Raises:
        BlockingIOError: There was no room in that time.
        OSError: No process listens there.
    """
    if timeout is not None:
        seconds, rest = divmod(max(timeout, 0.001), 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(seconds), int(rest * 1e6)))
    with address_of(home.socket) as address:
        connection.connect(address)


@contextmanager
def address_of(path: Path) -> Generator[str]:
    """Yield an address for a socket file whose path may be longer than the kernel's 107 bytes."""
    directory: int | None = None
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        if directory is not None:
            with suppress(OSError):
                os.close(directory)
