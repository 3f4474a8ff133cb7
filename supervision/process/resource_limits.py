"""What a worker process may use, applied by itself between its fork and its first message."""

import _thread
import contextlib
import os
import resource
import threading
from collections.abc import Callable
from typing import Any, Final

from greenroom.messages.policy import Limits

MIB: Final = 1024 * 1024
MOST_STACKS: Final = 1024
"""Threads whose stacks are left out of a memory limit at most."""
DEFAULT_STACK: Final = 8 * MIB
STACK_EXTRA: Final = 256 * 1024
"""What the C library allocates for a thread besides its stack."""
_STARTERS: Final = ("_start_new_thread", "_start_joinable_thread")

OOM_SCORE_STEP: Final = 300
"""How much sooner than its orchestrator the kernel kills a worker when memory runs out."""


def apply_limits(limits: Limits) -> None:
    """Bind this process and all that it starts. Memory counts what is allocated, in MiB, not what is reserved.

    The kernel counts the whole stack of each thread too, 8 MiB as a rule, of which hardly anything is used. So the soft
    limit is the one that was asked for, and ``allow_for_stacks`` raises it for each thread that Python starts.

    RLIMIT_DATA and not RLIMIT_AS: under the latter each thread's reserved stack counts, and few threads can start.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.memory_mb is not None:
        most = limits.memory_mb * MIB
        _limit(resource.RLIMIT_DATA, most, most + MOST_STACKS * _stack_bytes())
    if limits.cpu is not None:
        seconds = max(1, round(limits.cpu))
        _limit(resource.RLIMIT_CPU, seconds, seconds + 1)  # SIGXCPU at the first, which says why, SIGKILL at the second
    if limits.workdir is not None:
        os.chdir(limits.workdir)
        if "PWD" in os.environ:
            os.environ["PWD"] = limits.workdir


def allow_for_stacks(limits: Limits) -> None:
    """Have the memory limit of this process leave out stacks: of the threads of ``threading``, and of one more."""
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
    for name in _STARTERS:  # what ``Thread.start`` calls; there is no hook for it in every Python that we support
        if (start := getattr(threading, name, None)) is not None:
            setattr(threading, name, making_room(start))


def _stack_bytes() -> int:
    """Return how much a new thread's stack counts: the C library takes its size from the limit for stacks."""
    size = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return (DEFAULT_STACK if size == resource.RLIM_INFINITY else size) + STACK_EXTRA


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; one that is lower already stays."""
    hard = soft if hard is None else hard
    ceiling = resource.getrlimit(which)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


def volunteer_for_oom_kill() -> None:
    """Have the kernel prefer this process to its orchestrator when memory runs out."""
    with contextlib.suppress(PermissionError):  # some sandboxes refuse; the worker then ranks with its orchestrator
        file = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(file, b"%d" % min(1000, int(os.pread(file, 16, 0)) + OOM_SCORE_STEP), 0)
        finally:
            os.close(file)
