"""Linux system calls that the standard library does not offer, and helpers for ``/proc``."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import termios
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PF_EXITING: Final = 0x4
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent: int) -> None:
    """Let the kernel SIGKILL this process when ``parent`` dies; exit at once if it is dead already.

    The kernel watches the *thread* that forked this process, so the parent must be single-threaded. A change of user
    clears the setting: call this after it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died between the fork and the line above
        os._exit(1)


def outlive_parent() -> None:
    """Undo ``die_with_parent``."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Make every descendant whose parent dies a child of this process, even one that called ``setsid``."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """Forbid executed programs to gain privileges through set-user-id bits or file capabilities."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001  the kernel's own flag
    """Set whether processes of the same user may read this one's memory, environment and descriptors."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def is_dumpable() -> bool:
    """Return whether processes of the same user may read this one's memory; see ``set_dumpable``."""
    return bool(_libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)


def map_blocks_from(size: int) -> None:
    """Map each block of memory of at least ``size`` bytes separately, so that it returns to the kernel when freed.

    By default glibc raises this threshold, up to 32 MiB, when such a block is freed, and then keeps blocks in a heap
    per thread. With another C library this function does nothing.
    """
    _mallopt(_M_MMAP_THRESHOLD, size)


def keep_freed_memory(below: int, most: int) -> None:
    """Keep blocks of memory of less than ``below`` bytes for the next ones, at most ``most`` bytes of them in a row.

    By default glibc gives 128 KiB in a row back to the kernel, and more only after larger blocks. A process that
    handles one long value after another then has the same pages zeroed for each. With another C library this function
    does nothing.
    """
    _mallopt(_M_MMAP_THRESHOLD, below)
    _mallopt(_M_TRIM_THRESHOLD, most)


def _mallopt(option: int, value: int) -> None:
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(option, value)


def set_name(name: str) -> None:
    """Set the process name that ``ps`` and ``top`` show; the kernel keeps 15 bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def catch_and_ignore(number: int) -> None:
    """Install a handler that does nothing for a signal. Executed programs have the default action again.

    An ignored signal would stay ignored in every executed program, so that Ctrl+C could not end a tool's programs.
    Interrupted system calls are restarted.
    """
    signal.signal(number, _do_nothing)
    signal.siginterrupt(number, False)  # noqa: FBT003  the standard library's own flag


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal that has no effect on this process."""


def numbers_in(directory: str) -> list[int]:
    """Return the entries of a ``/proc`` directory whose names are numbers: pids, threads, descriptors."""
    with os.scandir(directory) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


def thread_names() -> dict[int, str]:
    """Return what the kernel calls the threads of this process, by their numbers."""
    names: dict[int, str] = {}
    for thread in numbers_in("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            names[thread] = _read(f"/proc/self/task/{thread}/comm").decode(errors="replace").strip()
    return names


def child_pids() -> list[int]:
    """Return the pids of this process's children, including adopted and unreaped ones."""
    pids: list[int] = []
    for thread in numbers_in("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError):  # the thread has ended
            pids += map(int, _read(f"/proc/self/task/{thread}/children").split())
    return pids


def count_descendants(pid: int, most: int) -> int:
    """Return how many processes are below one; the count ends above ``most``. Ended ones that wait for it count not."""
    found = 0
    left = [pid]
    while left and found <= most:
        parent = left.pop()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            for thread in numbers_in(f"/proc/{parent}/task"):
                left += map(int, _read(f"/proc/{parent}/task/{thread}/children").split())
        found += parent != pid and process_state(parent) not in {"", "Z", "X"}
    return found


def data_kib() -> int:
    """Return the memory of this process that counts under RLIMIT_DATA, in KiB, plus the main thread's stack."""
    pages = int(_read("/proc/self/statm").split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def kill_with_group(pid: int) -> None:
    """SIGKILL a child that has not been reaped, and its process group if the child leads one.

    A signal to a group is atomic with respect to forks, so a group that forks continuously is ended too.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone, or now belongs to another user
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)


def end_descendants() -> dict[int, int]:
    """Kill and reap every descendant of this subreaper; return the wait status of each by its pid. Blocks.

    The kernel reparents the children of a dying process before it can be reaped, so each round finds the next ones.
    """
    ended: dict[int, int] = {}
    while True:
        for pid in child_pids():
            kill_with_group(pid)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return ended
        ended[pid] = status


def process_state(pid: int) -> str:
    """Return the kernel's letter for a process's state, such as ``"R"``, ``"S"``, ``"T"``; empty if it is gone."""
    try:
        stat = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(b")")[2].split()[0].decode()


def is_ending(pid: int) -> bool:
    """Return whether a process is gone, killed or exiting. It may still have open files."""
    try:
        stat = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if stat[0] in b"ZX" or int(stat[6]) & _PF_EXITING:
            return True
        status = _read(f"/proc/{pid}/status")
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith((b"SigPnd:", b"ShdPnd:"))]
    return any(signals >> (signal.SIGKILL - 1) & 1 for signals in pending)


def unread_bytes(descriptor: int) -> int:
    """Return the number of bytes that wait to be read from a socket or a pipe."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def oom_kills() -> int:
    """Return the number of out-of-memory kills in our memory control group; 0 if unknown."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(b":", 2)
        if controllers == b"memory":
            file = b"/sys/fs/cgroup/memory%b/memory.oom_control" % path
        elif controllers == b"":
            file = b"/sys/fs/cgroup%b/memory.events" % path
        else:
            continue
        with contextlib.suppress(OSError):
            for entry in _read(file).splitlines():
                key, _, value = entry.partition(b" ")
                if key == b"oom_kill":
                    return int(value)
    return 0


def _read(path: str | bytes) -> bytes:
    """Read a file in ``/proc`` or ``/sys``; takes a third of the time of ``open``, and no module that the keeper lacks.

    The kernel gives a list, such as that of the children of a process, in pieces of a page.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while piece := os.read(file, 64 * 1024):
            data += piece
        return data
    finally:
        os.close(file)
