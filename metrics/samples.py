"""What worker processes use: memory and processor time, read from the kernel through psutil."""

from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process uses at one moment. Sizes in bytes."""

    pid: int
    rss_bytes: int
    """Resident: everything of it in memory, pages shared with its forked siblings counted in full."""
    pss_bytes: int | None
    """Proportional: shared pages divided among their users, so that the sum over all workers is what they really take.
    None where the kernel does not say."""
    uss_bytes: int | None
    """Private: what would be free again if it ended. None where the kernel does not say."""
    cpu: float
    """Seconds, user and system, since it started."""


def sample(pids: Iterable[int]) -> dict[int, Sample]:
    """Sample processes, by pid; those that have gone, or go meanwhile, are left out.

    About 0.1 ms per process, for walking its memory maps: not for a loop that must be quick.
    """
    found: dict[int, Sample] = {}
    for pid in pids:
        one = _sample(pid)
        if one is not None:
            found[pid] = one
    return found


def _sample(pid: int) -> Sample | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None  # dead, only not collected yet
            resident = process.memory_info().rss
            times = process.cpu_times()
            pss, uss = _shares(process)
    except psutil.NoSuchProcess:  # its subclass for zombies included
        return None
    return Sample(pid, resident, pss, uss, times.user + times.system)


def _shares(process: psutil.Process) -> tuple[int | None, int | None]:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:  # a process of another user, or one that made itself undumpable
        return None, None
    return getattr(full, "pss", None), full.uss
