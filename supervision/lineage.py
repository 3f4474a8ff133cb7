"""Finding and ending the processes that belong to an orchestrator's workers, wherever the kernel has put them since.

Three marks tell them, each read from ``/proc`` without their help: they hold the generation lock's open file, which a
fork inherits; their command line carries the lineage, which a fork inherits too; their environment does, which even an
executed grandchild inherits.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from understudy.supervision import linux

VARIABLE: Final = "UNDERSTUDY_LINEAGE"
"""Environment variable that carries the mark into everything workers start."""

Test = Callable[[int], bool]


def carries(mark: str) -> Test:
    """Give a test of whether a process has ``mark`` on its command line or in its environment."""
    wanted = mark.encode()

    def test(pid: int) -> bool:
        for file in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # gone, or another user's and so not ours
                if wanted in Path(f"/proc/{pid}/{file}").read_bytes():
                    return True
        return False

    return test


def holds_lock(device: int, inode: int) -> Test:
    """Give a test of whether a process shares the open file that a lock on this file stands on."""

    def test(pid: int) -> bool:
        with contextlib.suppress(OSError):  # gone, or another user's and so not ours
            for name in linux.numbers_in(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):  # closed meanwhile
                    status = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116  a path object costs more than the call
                    if (status.st_dev, status.st_ino) == (device, inode):
                        return "FLOCK" in Path(f"/proc/{pid}/fdinfo/{name}").read_text(encoding="ascii")
        return False

    return test


def find(tests: Iterable[Test]) -> list[int]:
    """List the living processes that any test is true of; never this one, nor one that it descends from."""
    tests = list(tests)
    spared = _ancestors()
    return [pid for pid in linux.numbers_in("/proc") if pid not in spared and any(test(pid) for test in tests)]


def end_all(tests: Iterable[Test], timeout: float = 5.0) -> int:
    """Kill every process that a test is true of, until there is none; give how many that were. Blocks.

    Raises:
        TimeoutError: One of them cannot be killed.
    """
    tests = list(tests)
    deadline = time.monotonic() + timeout
    ended = 0
    while pids := find(tests):
        for pid in pids:
            ended += _end(pid, tests, deadline)
    return ended


def _end(pid: int, tests: list[Test], deadline: float) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not any(test(pid) for test in tests):  # the pid has passed to another process
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            msg = f"process {pid} was left behind by an earlier orchestrator and cannot be killed"
            raise TimeoutError(msg)
        return True
    finally:
        os.close(pidfd)


def _ancestors() -> set[int]:
    pids = {os.getpid()}
    pid = os.getppid()
    while pid:
        pids.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return pids
