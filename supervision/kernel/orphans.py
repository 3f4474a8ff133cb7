"""Find and end the processes that an orchestrator's workers have started, wherever they are in the process tree.

Three marks identify them, each read from ``/proc``. They hold the generation lock's open file, which a fork inherits.
The command line of a keeper has the lineage, which a fork inherits too. Their environment has it as well, which even
an executed grandchild inherits. A mark must be a whole argument or a whole variable. Processes of other users are never
touched, because any user can copy a mark from a command line.

A signal cannot reach the wrong process. The pidfd is opened before the process is examined. If the pid is reused
meanwhile, the signal goes to the dead process.
"""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from greenroom.supervision.kernel import linux
from greenroom.supervision.kernel.exec_command import BOOTSTRAP, EXECUTED

VARIABLE: Final = "GREENROOM_LINEAGE"
"""Environment variable with the mark, which all processes that workers start inherit."""
_LIFE: Final = re.compile(rb"[0-9a-f]{16}")
_PROGRAMS: Final = frozenset(BOOTSTRAP.format(module=module).encode() for module in EXECUTED)
_INIT: Final = 1
_PAUSE: Final = 0.005
"""Seconds between two checks while no process can be killed and the end is not confirmed."""

Test = Callable[[int], bool]


def carries(token: str, life: str | None = None) -> Test:
    """Return a test whether a process carries the mark of a lock.

    Args:
        token: The lock's part of the mark.
        life: The part of one keeper with its zygote, 16 hexadecimal digits; None for any.
    """
    start = f"{token}:".encode()
    variable = f"{VARIABLE}={token}:".encode()

    def ours(entry: bytes, prefix: bytes) -> bool:
        rest = entry[len(prefix) :]
        return entry.startswith(prefix) and (_LIFE.fullmatch(rest) is not None if life is None else rest == wanted)

    wanted = (life or "").encode()

    def test(pid: int) -> bool:
        arguments = _entries(pid, "cmdline")
        if len(arguments) > 3 and arguments[1] == b"-c" and arguments[2] in _PROGRAMS and ours(arguments[3], start):  # noqa: PLR2004  see ``exec_command.command``
            return True
        return any(ours(entry, variable) for entry in _entries(pid, "environ"))

    return test


def _entries(pid: int, file: str) -> list[bytes]:
    """Return the zero-terminated texts in a file of a process; none if the file cannot be read."""
    with contextlib.suppress(OSError):  # gone, or not ours to look into
        return Path(f"/proc/{pid}/{file}").read_bytes().split(b"\0")
    return []


def holds_lock(device: int, inode: int) -> Test:
    """Return a test whether a process holds the lock on this file."""

    def test(pid: int) -> bool:
        with contextlib.suppress(OSError):  # gone, or not ours to look into
            for name in linux.numbers_in(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):  # closed meanwhile
                    status = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116  a path object costs more than the call
                    if (status.st_dev, status.st_ino) == (device, inode):
                        return "FLOCK" in Path(f"/proc/{pid}/fdinfo/{name}").read_text(encoding="ascii")
        return False

    return test


def find(tests: Iterable[Test]) -> list[int]:
    """Return the pids of our user's processes that pass any test, except init, this process and its ancestors."""
    tests = list(tests)
    spared = _ancestors()
    return [pid for pid in linux.numbers_in("/proc") if pid not in spared and _belongs(pid, tests)]


def end_all(tests: Iterable[Test], *, until: Callable[[], bool] = lambda: True, timeout: float = 5.0) -> int:
    """Kill every process that passes a test, until none is left and ``until()`` is true. Return their number. Blocks.

    ``timeout`` is the limit in seconds for each process, and for ``until`` after the last has ended.

    Raises:
        TimeoutError: A process cannot be killed, or ``until`` stays false although none is left.
    """
    tests = list(tests)
    deadline = time.monotonic() + timeout
    ended = 0
    while True:
        pids = find(tests)
        killed = 0
        for pid in pids:
            if _end(pid, tests, timeout):
                killed += 1
                deadline = time.monotonic() + timeout
        ended += killed
        if not pids and until():
            return ended
        if not killed:
            if time.monotonic() > deadline:
                who = f"process {pids[0]}" if pids else "a process of another user's, or one that hides from us,"
                msg = f"{who} was left behind by an earlier orchestrator and cannot be killed"
                raise TimeoutError(msg)
            time.sleep(_PAUSE)


def _end(pid: int, tests: list[Test], timeout: float) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not _belongs(pid, tests):  # the pid belongs to another process now
            return False
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return False
        except PermissionError:  # it has just changed to another user
            return False
        if not select.select([pidfd], [], [], timeout)[0]:
            msg = f"process {pid} was left behind by an earlier orchestrator and cannot be killed"
            raise TimeoutError(msg)
        return True
    finally:
        os.close(pidfd)


def _belongs(pid: int, tests: list[Test]) -> bool:
    return _is_our_users(pid) and any(test(pid) for test in tests)


def _is_our_users(pid: int) -> bool:
    """Return whether every user id of a process is ours.

    The owner of its files in ``/proc`` does not show that: it is root if the process is not dumpable.
    """
    with contextlib.suppress(OSError):  # gone
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"Uid:"):
                return {int(number) for number in line.split()[1:]} == {os.geteuid()}
    return False


def _ancestors() -> set[int]:
    pids = {os.getpid(), _INIT}
    pid = os.getppid()
    while pid:
        pids.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return pids
