"""Namespaces of Linux: a process without a network, and one whose processes are counted apart."""

import ctypes
import os
import subprocess
import sys
from functools import cache
from typing import Final

_NEW_USERS: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_PROBE_TIMEOUT: Final = 10.0

_libc: Final = ctypes.CDLL(None, use_errno=True)


def leave_network() -> None:
    """Move this single-threaded process, and those it will start, into a network that has no interface that is up.

    A process without the right to do so gets a user namespace of its own, with the same user in it.

    Raises:
        OSError: The kernel, a sandbox or the system's settings allow neither.
    """
    try:
        _unshare(_NEW_NETWORK)
    except PermissionError:
        _own_users(_NEW_NETWORK)


def try_own_users() -> bool:
    """Move this single-threaded process into a user namespace of its own; return whether that was possible."""
    try:
        _own_users(0)
    except OSError:
        return False
    return True


@cache
def network_refusal() -> str:
    """Return why processes cannot be kept from the network here; empty if they can. Starts a process once. Blocks."""
    command = [sys.executable, "-I", "-S", __file__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=False)  # noqa: S603  this file
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]


def _own_users(further: int) -> None:
    user, group = os.geteuid(), os.getegid()
    _unshare(_NEW_USERS | further)
    _write("/proc/self/setgroups", b"deny")
    _write("/proc/self/uid_map", b"%d %d 1" % (user, user))
    _write("/proc/self/gid_map", b"%d %d 1" % (group, group))


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    leave_network()
