"""What every attempt finds around it in its worker, and what is put back for the next one."""

import os
import signal
import sys
from contextlib import suppress
from typing import Final

_STANDARD: Final = (0, 1, 2)
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Surroundings:
    """Folder, file mask, timers and standard descriptors of a process, as they were when this was made.

    A function that changes them and returns has done nothing wrong, but what comes after it in the same process has
    its own idea of where it is, and must not be killed by an alarm that it never set. What libraries set up once for a
    whole process, such as signal handlers and limits, stays as they left it. Main thread of a worker.
    """

    def __init__(self) -> None:
        """Remember them."""
        self._folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._standard = [(number, _identity(number), os.dup(number)) for number in _STANDARD]

    def restore(self) -> None:
        """Put them back. Costs a few microseconds."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        os.umask(self._mask)
        with suppress(OSError):  # whoever closed every descriptor has taken this one too
            os.fchdir(self._folder)
        for number, identity, copy in self._standard:
            if _identity(number) != identity:
                for stream in (sys.stdout, sys.stderr):
                    with suppress(OSError, ValueError, AttributeError):  # it is closed, or replaced by anything at all
                        stream.flush()
                with suppress(OSError):
                    os.dup2(copy, number)


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Tell one open file from another; None where there is none."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
