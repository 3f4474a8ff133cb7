"""Resource limits of a worker, which its process applies to itself between the fork and the first message."""

import _thread
import contextlib
import math
import os
import resource
import threading
from collections.abc import Callable
from typing import Any, Final

from greenroom.messages.options.policy import Limits
from greenroom.supervision.kernel import namespaces

MIB: Final = 1024 * 1024
MOST_STACKS: Final = 1024
"""Most threads whose stacks a memory limit leaves out."""
DEFAULT_STACK: Final = 8 * MIB
STACK_EXTRA: Final = 256 * 1024
"""Bytes that the C library allocates for a thread besides its stack."""
_STARTERS: Final = ("_start_new_thread", "_start_joinable_thread")

OPEN_FILES: Final = 1024
"""Descriptors that a worker may have open by default."""
SPARE_THREADS: Final = 64
"""Threads that a worker with a limit of processes may have, as the kernel counts both together."""
UNLIMITED: Final = resource.RLIM_INFINITY

OOM_SCORE_STEP: Final = 300
"""Added to a worker's OOM score, so that the kernel kills it before its orchestrator when memory runs out."""


def apply_limits(limits: Limits) -> None:
    """Limit this process and the processes that it starts. The memory limit counts allocated memory, in MiB.

    The kernel also counts the whole stack of each thread, usually 8 MiB, most of which is unused. So the requested
    limit is set as the soft limit, and ``allow_for_stacks`` raises it for each thread that Python starts.

    RLIMIT_DATA is used because RLIMIT_AS counts the reserved stack of each thread, so that few threads could start.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files or OPEN_FILES)
    if limits.memory_mb is not None:
        most = limits.memory_mb * MIB
        _limit(resource.RLIMIT_DATA, most, most + MOST_STACKS * _stack_bytes())
        # Code in Rust that is out of memory, such as pydantic's, would describe its stack, and wait for ever.
        os.environ.pop("RUST_BACKTRACE", None)
    if limits.cpu is not None:
        _limit(resource.RLIMIT_CPU, math.ceil(limits.cpu), UNLIMITED)  # a worker raises it for each further attempt
    if limits.workdir is not None:
        os.chdir(limits.workdir)
        if "PWD" in os.environ:
            os.environ["PWD"] = limits.workdir
    if not limits.network:
        namespaces.leave_network()
    if limits.processes is not None:
        _bound_processes(limits.processes)


def _bound_processes(most: int) -> None:
    """Let the kernel refuse a burst of new processes, which would outrun the supervisor's check.

    RLIMIT_NPROC counts the processes of a user, with their threads. In a user namespace of its own a worker is counted
    apart, since Linux 5.14. The limit does not hold for root.
    """
    if os.geteuid() != 0 and namespaces.try_own_users():
        _limit(resource.RLIMIT_NPROC, most + SPARE_THREADS)


def allow_for_stacks(limits: Limits) -> None:
    """Raise the memory limit of this process by the stacks of its Python threads, and of one more thread."""
    if limits.memory_mb is None:
        return
    most, stack = limits.memory_mb * MIB, _stack_bytes()

    def make_room() -> None:
        threads = _thread._count() + 1  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # counts raw ones too
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        with contextlib.suppress(OSError, ValueError):  # user code has lowered the limit for good
            resource.setrlimit(resource.RLIMIT_DATA, (min(most + stack * threads, hard), hard))

    def making_room(start: Callable[..., object]) -> Callable[..., object]:
        def start_with_room(*args: Any, **kwargs: Any) -> object:
            make_room()
            return start(*args, **kwargs)

        return start_with_room

    make_room()
    for name in _STARTERS:  # called by ``Thread.start``, for which not every supported Python has a hook
        if (start := getattr(threading, name, None)) is not None:
            setattr(threading, name, making_room(start))


def _stack_bytes() -> int:
    """Return the size of a new thread's stack, which the C library takes from the limit for stacks."""
    size = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return (DEFAULT_STACK if size == resource.RLIM_INFINITY else size) + STACK_EXTRA


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit, unless it is lower already."""
    hard = soft if hard is None else hard
    ceiling = resource.getrlimit(which)[1]
    if ceiling != UNLIMITED:
        soft, hard = min(soft, ceiling), ceiling if hard == UNLIMITED else min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


def volunteer_for_oom_kill() -> None:
    """Let the kernel kill this process before its orchestrator when memory runs out."""
    with contextlib.suppress(PermissionError):  # some sandboxes refuse; the worker then has its orchestrator's score
        file = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(file, b"%d" % min(1000, int(os.pread(file, 16, 0)) + OOM_SCORE_STEP), 0)
        finally:
            os.close(file)
