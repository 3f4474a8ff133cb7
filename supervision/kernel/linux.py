"""The few calls to the Linux kernel that the standard library does not offer, each as one named function."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import termios
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PF_EXITING: Final = 0x4
_M_MMAP_THRESHOLD: Final = -3

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent: int) -> None:
    """Have the kernel SIGKILL this process when ``parent`` dies; exit at once where it is dead already.

    The kernel watches the *thread* that forked this process, so the parent must be single-threaded. A change of user
    clears the setting: call this after it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died between the fork and the line above
        os._exit(1)


def outlive_parent() -> None:
    """Take back ``die_with_parent``."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Make every descendant whose parent dies a child of this process, even one that called ``setsid``."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """Let no program that this process executes gain privileges through set-user-id bits or file capabilities."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001  the kernel's own flag
    """Return whether processes of the same user may read this one's memory, environment and descriptors."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def is_dumpable() -> bool:
    """Return whether processes of the same user may look into this one; see ``set_dumpable``."""
    return bool(_libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)


def map_blocks_from(size: int) -> None:
    """Have each block of memory of at least ``size`` bytes mapped by itself, so that the kernel gets it back at once.

    Left alone, glibc takes a size that was freed once, up to 32 MiB, for one that is needed again and again, and keeps
    such blocks in heaps of which each thread has one. Where there is another C library this does nothing.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, size)


def set_name(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show; the kernel keeps 15 bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def shrug_off(number: int) -> None:
    """Have a signal do nothing to this process, and leave it its default action in the programs it executes.

    To ignore it would not do: an ignored signal stays ignored in every program executed from here, so that Ctrl+C could
    not end what a tool starts. A handler is reset to the default there. System calls that it interrupts go on.
    """
    signal.signal(number, _do_nothing)
    signal.siginterrupt(number, False)  # noqa: FBT003  the standard library's own flag


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal that means nothing here."""


def numbers_in(directory: str) -> list[int]:
    """List the entries of a ``/proc`` directory whose names are numbers: pids, threads, descriptors."""
    with os.scandir(directory) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


def child_pids() -> list[int]:
    """List the children of this process, adopted ones and unreaped ones included."""
    pids: list[int] = []
    for thread in numbers_in("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError):  # the thread has ended
            pids += map(int, Path(f"/proc/self/task/{thread}/children").read_text(encoding="ascii").split())
    return pids


def data_kib() -> int:
    """Return what counts under RLIMIT_DATA in this process, in KiB; its own stack, which does not, comes with it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def strike(pid: int) -> None:
    """SIGKILL a child that has not been reaped, and its process group where that is a group of its own.

    A signal to a group is atomic against forks in it, so a group that forks all the time is ended too.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or another user's by now
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)


def end_descendants() -> dict[int, int]:
    """Kill and reap every descendant of this subreaper; give the wait status of each by its pid. Blocks.

    A dying process hands its children to us before it can be reaped, so each round meets what the last one freed.
    """
    ended: dict[int, int] = {}
    while True:
        for pid in child_pids():
            strike(pid)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return ended
        ended[pid] = status


def process_state(pid: int) -> str:
    """Return the kernel's letter for a process's state, such as ``"R"``, ``"S"``, ``"T"``; empty where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


def is_ending(pid: int) -> bool:
    """Return whether a process is gone, or is on its way out: killed or exiting, whatever it still has open."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if stat[0] in "ZX" or int(stat[6]) & _PF_EXITING:
            return True
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(signals >> (signal.SIGKILL - 1) & 1 for signals in pending)


def unread_bytes(descriptor: int) -> int:
    """Count the bytes that wait to be read from a socket or a pipe."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def oom_kills() -> int:
    """Count the processes of our memory control group that the kernel killed for want of memory; 0 where unknown."""
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
    """Read a small file in ``/proc`` or ``/sys``, in a third of the time that ``open`` takes."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 64 * 1024)
    finally:
        os.close(file)
