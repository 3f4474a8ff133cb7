"""Hints for people whose tool met a limit of its process that Python reports as an exception."""

import errno
import socket
from typing import Final

from greenroom.messages.options.policy import Limits

_NO_NETWORK: Final = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})

_limits = Limits()


def note_limits(limits: Limits) -> None:
    """Remember the limits of this process. Called once, before its actor starts."""
    global _limits  # noqa: PLW0603  a process has one set of limits
    _limits = limits


def limit_hint(error: BaseException) -> str:
    """Return which limit an exception reports, and how to raise it; empty if it reports none."""
    number = error.errno if isinstance(error, OSError) else None
    if _limits.memory_mb is not None and (isinstance(error, MemoryError) or number == errno.ENOMEM):
        return f"its process may allocate {_limits.memory_mb} MiB; `memory_mb=` gives it more"
    if _limits.open_files is not None and number == errno.EMFILE:
        return f"its process may have {_limits.open_files} descriptors open; `open_files=` gives it more"
    if _limits.processes is not None and number == errno.EAGAIN and isinstance(error, BlockingIOError):
        return f"it may have {_limits.processes} processes; `processes=` gives it more"
    if not _limits.network and (isinstance(error, socket.gaierror) or number in _NO_NETWORK):
        return "its process is kept from the network by `network=False`"
    return ""
