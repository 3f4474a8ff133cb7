"""What a worker's process does between the fork and its actor's first message, in the one order that works."""

import contextlib
import faulthandler
import gc
import io
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn

from greenroom.messages.codec import HEADER, TO_WORKER
from greenroom.messages.frames.worker import Environment, WorkerSpec
from greenroom.supervision.kernel import linux
from greenroom.supervision.process import resource_limits

SHRUGGED_OFF: Final = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that must not end a worker: Ctrl+C is the orchestrator's to handle, and Python reports the two others as
``BrokenPipeError`` and ``OSError``. Python ignores these two, which what a tool starts would inherit."""


def become_worker(spec: WorkerSpec, parent: int, stdio: tuple[int, int], keep: set[int]) -> None:
    """Cut this freshly forked process off from the zygote and bind it to its limits.

    Signals are as the zygote has left them for its children, by ``reset_signals``.

    Args:
        spec: The worker to become.
        parent: Pid of the zygote.
        stdio: Descriptors that become stdout and stderr.
        keep: Further descriptors to leave open.
    """
    os.setsid()
    linux.die_with_parent(parent)
    linux.adopt_orphans()
    for source, target in zip(stdio, (1, 2), strict=True):
        os.dup2(source, target)
    for descriptor in linux.numbers_in("/proc/self/fd"):
        if descriptor > 2 and descriptor not in keep:  # noqa: PLR2004  the three standard streams
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.close(descriptor)
    linux.set_dumpable(True)  # or a user that is not root could measure no worker; the line below needs it too
    resource_limits.volunteer_for_oom_kill()
    resource_limits.apply_limits(spec.limits)
    linux.forbid_new_privileges()
    linux.set_name(f"gr:{spec.worker}")


def take_environment(connection: int) -> None:
    """Read how this worker's environment differs from the zygote's, its first message, and set it. Blocks until then.

    Where variables are for this worker alone, processes of the same user cannot look into it from now on: a tool that
    was not given a key must not find it in the memory of a worker that was.

    Args:
        connection: Descriptor of the worker's socket; it stays open.
    """
    linux.set_dumpable(False)
    length, _ = HEADER.unpack(_read_exactly(connection, HEADER.size))
    message = TO_WORKER.decode(_read_exactly(connection, length)).message
    assert isinstance(message, Environment), f"a worker's environment was announced, and {message.type} came"
    linux.set_dumpable(not message.secret)
    for name in message.removed:
        os.environ.pop(name, None)
    for name, value in message.variables.items():
        os.environ[name] = os.fsdecode(value.encode("latin-1"))


def _read_exactly(connection: int, count: int) -> bytes:
    """Read so many bytes and no more: what follows is the actor's to read."""
    data = b""
    while len(data) < count:
        more = os.read(connection, count - len(data))
        if not more:  # the orchestrator is gone
            os._exit(0)
        data += more
    return data


def reset_signals() -> None:
    """Undo what the app's import may have set. SIGTERM keeps its default action: a handler would only delay the end.

    A process that forks workers calls this once, after the import: forked processes inherit all of it, and to ask for
    each of 64 handlers takes every one of them the time of a hundred system calls.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in SHRUGGED_OFF:
        linux.shrug_off(number)
    faulthandler.unregister(signal.SIGUSR1)  # an app's own would keep the worker's from being installed
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until the worker's faulthandler listens
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def run_worker(connection: int, spec: WorkerSpec, main: Callable[..., Any]) -> NoReturn:
    """Live: run ``main`` on the socket and end the process with the exit code Python would give it."""
    faulthandler.enable(2)
    faulthandler.register(signal.SIGUSR1, 2)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:  # an app may have put anything in their place
            stream.reconfigure(line_buffering=True)  # what a crash would take along is at most a line
    gc.enable()
    resource_limits.allow_for_stacks(spec.limits)
    code = exit_code(lambda: main(socket.socket(fileno=connection), spec))
    flush_and_exit(code)


def exit_code(call: Callable[[], object]) -> int:
    """Call it and give the exit code of a script that had it as its body, printing what Python would print."""
    try:
        call()
    except SystemExit as end:
        if end.code is None:
            return 0
        if isinstance(end.code, int):
            sys.stderr.write(f"SystemExit: {end.code}\n")  # or nothing would tell it from ``os._exit``
            return end.code & 0xFF
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:  # noqa: BLE001  the process ends here, whatever it is
        traceback.print_exc()
        return 1
    return 0


def flush_and_exit(code: int) -> NoReturn:
    """End this process without the interpreter's shutdown, which would wait for threads."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # nobody reads any more, or user code closed or replaced it
            stream.flush()
    os._exit(code)
