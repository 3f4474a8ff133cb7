"""Killing of all processes that a step has started and left running. Called inside its worker.

The worker was made a subreaper before its first line ran. So every process below it that loses its parent becomes its
child, including daemons that called ``setsid``. "No child" therefore means "no descendant".
"""

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_GET_CHILD_SUBREAPER: Final = 37
_prctl: Final = ctypes.CDLL(None).prctl


def adopts_orphans() -> bool:
    """Return whether this process is still a subreaper, without which daemons escape ``kill_descendants``."""
    answer = ctypes.c_int()
    return _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) == 0 and answer.value == 1


def kill_descendants() -> int:
    """Kill and reap every descendant of this process. Return their number. Blocks until none is left.

    Costs about a microsecond if there are none. Call it only while nothing else of this process is working, as it takes
    every child, whatever started it: between two steps of a worker that runs one at a time.
    """
    if not _has_children():
        return 0
    ended = 0
    while True:
        # A dying process hands its children to this one before it can be reaped. So each round finds those freed by the
        # last. The pid of a child cannot pass to another process before the child is reaped here.
        for pid in _children():
            with contextlib.suppress(PermissionError):  # it runs as another user
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return ended
        ended += 1


def _children() -> list[int]:
    """Return the pids of the children of all threads of this process.

    Without psutil, which would add a megabyte to every zygote for what few workers need.
    """
    found: list[int] = []
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            found += map(int, file.read_text(encoding="ascii").split())
    return found


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
