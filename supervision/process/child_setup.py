"""Set up a worker's process between the fork and its actor's first message. The order of the steps matters."""

import contextlib
import faulthandler
import gc
import io
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

from greenroom.messages.codecs.codec import HEADER, TO_WORKER
from greenroom.messages.frames.worker import Environment, WorkerSpec
from greenroom.supervision.kernel import linux
from greenroom.supervision.process import resource_limits
from greenroom.supervision.process.user_traceback import user_traceback

CAUGHT_AND_IGNORED: Final = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that must not end a worker. The orchestrator handles Ctrl+C, and Python reports the two others as
``BrokenPipeError`` and ``OSError``. Python ignores these two, and programs that a tool starts would inherit that."""
_BLOCKS_KEPT: Final = 4 * 1024 * 1024
"""Blocks of memory of fewer bytes are kept when freed, for the next value: a step with 1 MB takes a third less time."""
_MEMORY_KEPT: Final = 8 * 1024 * 1024
"""Most bytes that a worker keeps so."""


def become_worker(spec: WorkerSpec, parent: int, stdio: tuple[int, int], keep: set[int]) -> None:
    """Detach this newly forked process from the zygote and apply its limits.

    The zygote has reset the signals before, by ``reset_signals``.

    Args:
        spec: Specification of the worker.
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
    linux.set_dumpable(True)  # otherwise only root could measure a worker; the line below needs it too
    resource_limits.volunteer_for_oom_kill()
    resource_limits.apply_limits(spec.limits)
    linux.forbid_new_privileges()
    linux.set_name(f"gr:{spec.worker}")
    linux.keep_freed_memory(_BLOCKS_KEPT, _MEMORY_KEPT)


def take_environment(connection: int) -> None:
    """Read the first message, which holds this worker's own environment variables, and set them. Blocks.

    If this worker alone gets some of them, other processes of the same user can no longer read its memory. A tool that
    was not given a key must not find it in the memory of another worker.

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
    """Read exactly ``count`` bytes. The actor reads what follows."""
    data = b""
    while len(data) < count:
        more = os.read(connection, count - len(data))
        if not more:  # the orchestrator is gone
            os._exit(0)
        data += more
    return data


def reset_signals() -> None:
    """Reset the signal handlers that the app's import may have set.

    SIGTERM keeps its default action, as a handler would only delay the end. A process that forks workers calls this
    once, after the import. Its children inherit the result, and need not spend a hundred system calls each.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in CAUGHT_AND_IGNORED:
        linux.catch_and_ignore(number)
    faulthandler.unregister(signal.SIGUSR1)  # an app's handler would keep the worker's from being installed
    linux.catch_and_ignore(signal.SIGUSR1)  # until the worker's faulthandler listens; no step can set this handler
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def run_worker(connection: int, spec: WorkerSpec, main: Callable[..., Any]) -> NoReturn:
    """Run ``main`` on the socket, then end the process with the exit code that Python would give it."""
    faulthandler.enable(2)
    faulthandler.register(signal.SIGUSR1, 2)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:  # an app may have replaced the streams
            stream.reconfigure(line_buffering=True)  # a crash loses at most one line
    gc.enable()
    resource_limits.allow_for_stacks(spec.limits)
    code = exit_code(lambda: main(socket.socket(fileno=connection), spec))
    flush_and_exit(code)


def exit_code(call: Callable[[], object]) -> int:
    """Call a function; return the exit code of a script with that body, and print the exception that ended it."""
    try:
        call()
    except SystemExit as end:
        if end.code is None:
            return 0
        sys.stderr.write(f"{user_traceback(end)}\n")  # tells it from ``os._exit``, and where it was
        return end.code & 0xFF if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001  the process ends here in any case
        sys.stderr.write(f"{user_traceback(error)}\n")
        return 1
    return 0


def flush_and_exit(code: int) -> NoReturn:
    """Exit this process without the interpreter's shutdown, which would wait for threads."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # no process reads it, or user code closed or replaced it
            stream.flush()
    os._exit(code)
