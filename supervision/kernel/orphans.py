"""Finding and ending the processes that belong to an orchestrator's workers, wherever the kernel has put them since.

Three marks tell them, each read from ``/proc`` without their help: they hold the generation lock's open file, which a
fork inherits; the command line of a keeper carries the lineage in one place, which a fork inherits too; their
environment does, which even an executed grandchild inherits. A mark counts where it is exactly what we have put there,
as a whole argument or a whole variable. Processes of other users are left alone, whatever they carry: anybody can copy
a mark that stands on a command line.

No signal can reach the wrong process. A process is held by its pidfd first and looked at afterwards; if its number
passes to another one meanwhile, the signal goes to the dead one.
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
"""Environment variable that carries the mark into everything workers start."""
_LIFE: Final = re.compile(rb"[0-9a-f]{16}")
_PROGRAMS: Final = frozenset(BOOTSTRAP.format(module=module).encode() for module in EXECUTED)
_INIT: Final = 1
_PAUSE: Final = 0.005
"""Seconds between two looks, where there is nothing that could be killed and the end has not come yet."""

Test = Callable[[int], bool]


def carries(token: str, life: str | None = None) -> Test:
    """Return a test of whether a process carries the mark of a lock.

    Args:
        token: The lock's own part of the mark.
        life: That of one household, 16 hexadecimal digits; None means that of any.
    """
    start = f"{token}:".encode()
    variable = f"{VARIABLE}={token}:".encode()

    def ours(entry: bytes, prefix: bytes) -> bool:
        rest = entry[len(prefix) :]
        return entry.startswith(prefix) and (_LIFE.fullmatch(rest) is not None if life is None else rest == wanted)

    wanted = (life or "").encode()

    def test(pid: int) -> bool:
        arguments = _entries(pid, "cmdline")
        if len(arguments) > 3 and arguments[1] == b"-c" and arguments[2] in _PROGRAMS and ours(arguments[3], start):  # noqa: PLR2004  as ``exec_command.command`` makes it
            return True
        return any(ours(entry, variable) for entry in _entries(pid, "environ"))

    return test


def _entries(pid: int, file: str) -> list[bytes]:
    """Return the texts, each ended by a zero byte, that a file of a process holds; none where we may not read it."""
    with contextlib.suppress(OSError):  # gone, or not ours to look into
        return Path(f"/proc/{pid}/{file}").read_bytes().split(b"\0")
    return []


def holds_lock(device: int, inode: int) -> Test:
    """Return a test of whether a process shares the open file that a lock on this file stands on."""

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
    """List our user's processes that any test is true of; never init, this one, nor one that it descends from."""
    tests = list(tests)
    spared = _ancestors()
    return [pid for pid in linux.numbers_in("/proc") if pid not in spared and _belongs(pid, tests)]


def end_all(tests: Iterable[Test], *, until: Callable[[], bool] = lambda: True, timeout: float = 5.0) -> int:
    """Kill every process that a test is true of, until there is none and ``until()`` holds; give how many. Blocks.

    ``timeout`` is that of each process, in seconds, and that of ``until`` once the last has ended.

    Raises:
        TimeoutError: One of them cannot be killed, or ``until`` does not come true although none is left.
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
        if not _belongs(pid, tests):  # the pid has passed to another process
            return False
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return False
        except PermissionError:  # it has become another user's just now
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

    The owner of its files in ``/proc`` would not tell: where a process is not dumpable, that is root.
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
