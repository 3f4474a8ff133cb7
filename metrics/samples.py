"""Resource usage of worker processes: memory and processor time, read from the kernel through psutil."""

from collections.abc import Iterable

import psutil

from greenroom.messages.core.frozen import frozen


@frozen
class Sample:
    """Resource usage of one process at one moment. Sizes in bytes."""

    pid: int
    rss_bytes: int
    """Resident: all its pages in memory. Pages shared with forked siblings are counted in full."""
    pss_bytes: int | None
    """Proportional: shared pages are divided among their users, so that the sum over all workers is their real use.
    None if the kernel does not provide it."""
    uss_bytes: int | None
    """Private: memory that would be free again if the process ended. None if the kernel does not provide it."""
    cpu: float
    """Seconds of user and system time since the process started."""


def sample(pids: Iterable[int]) -> dict[int, Sample]:
    """Return samples of processes, by pid. Processes that have ended, or end meanwhile, are left out.

    Takes about 0.1 ms per process, to walk its memory maps. Not for frequent calls.
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
                return None  # ended, but not reaped yet
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
