"""Read statistics of a worker process from the kernel."""

from greenroom.messages.core.frozen import frozen


@frozen
class Vitals:
    """Statistics of one process at one time."""

    cpu: float
    """CPU seconds that it has used, user and system."""
    stopped: bool
    """Whether its state is T: stopped by a signal."""


def look_at(pid: int) -> Vitals | None:
    """Return the statistics of a process; None if it is gone. Takes about 100 microseconds, too long for every beat."""
    import psutil  # noqa: PLC0415  takes 30 ms, which would delay the start of an orchestrator

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Vitals(cpu=times.user + times.system, stopped=process.status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return None


def resident_bytes(pid: int) -> int | None:
    """Return the resident size of a process in bytes; None if it is gone."""
    import psutil  # noqa: PLC0415  see above

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
