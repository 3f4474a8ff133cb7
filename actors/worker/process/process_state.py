"""The process state that every attempt finds: restored for the next attempt, or else a reason to replace the worker.

The next attempt, of any run, would inherit what a function has changed in its process. ``restore`` restores what it
can, and describes what it cannot. The supervisor then replaces the worker before its next job.

Two things are not restored: what lives in modules (globals, caches, imports), and open file descriptors. Connections
are worth keeping, unless descriptors are about to run out. A function of the standard library that the worker itself
needs is a reason to replace it: the next attempt could not even fail properly.
"""

import asyncio
import faulthandler
import fcntl
import gc
import locale
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from importlib import import_module
from math import ceil
from typing import Any, Final, NamedTuple, cast

from greenroom.actors.worker.process.descendants import adopts_orphans
from greenroom.actors.worker.process.library_functions import LibraryFunctions
from greenroom.messages.frames.worker import WorkerSpec

THREADS_END: Final = 0.1
"""Seconds to wait for threads that are about to end."""
DESCRIPTORS_USED: Final = 0.75
"""Share of used descriptors from which on a worker is replaced."""
MEMORY_USED: Final = 0.75
"""Share of the memory between a fresh worker's and its limit from which on a worker is replaced."""

_raw: Any = import_module("_signal")  # what ``signal`` wraps; that creates an enum for each of 31 answers
_unregister = cast("Callable[[int], bool]", faulthandler.unregister)  # whether there was one: stubs do not say so
_STANDARD: Final = (0, 1, 2)
_DRAWN: Final = 64
"""Random bits drawn to find out whether the attempt has drawn some."""
_SIGNALS: Final = tuple(range(1, signal.SIGRTMIN))
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS: Final = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
)
_NEW_PEAK: Final = b"5"
"""Resets the peak of a process's memory."""
_MIB: Final = 1024 * 1024
_PAGE: Final = resource.getpagesize()


_ASYNCIO: Final[dict[str, Any]] = cast("Any", vars(asyncio.events))
_POLICY: Final = "_event_loop_policy"
"""Where asyncio keeps its policy. The functions for it warn since Python 3.14, and a warning may be an error here."""


class Setting(NamedTuple):
    """A setting of the process that is compared after each attempt, and restored if it has changed."""

    name: str
    """Name for people, after "it changed"."""
    read: Callable[[], Any]
    """Reads the setting. A shallow copy of the value is remembered."""
    write: Callable[[Any], object]
    """Writes the setting. Raises if that is impossible."""


def _final(_value: object) -> None:
    """Raise, because this setting cannot be restored."""
    raise PermissionError


def _handlers() -> tuple[Any, ...]:
    return tuple(map(_raw.getsignal, _SIGNALS))


def _set_handlers(handlers: tuple[Any, ...]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if _raw.getsignal(number) is not handler:
            _raw.signal(number, handler)
            if number == signal.SIGUSR1 and _unregister(number):  # the handler that writes stacks before a kill
                faulthandler.register(number, 2)


def _set_mask(mask: set[int]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _limits() -> tuple[tuple[int, int], ...]:
    return tuple(map(resource.getrlimit, _LIMITS))


def _set_limits(limits: tuple[tuple[int, int], ...]) -> None:
    for which, limit in zip(_LIMITS, limits, strict=True):
        resource.setrlimit(which, limit)


def _environ() -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = vars(os.environ)["_data"]  # a tenth of the time of asking for each name
    return data


def _set_environ(environ: dict[bytes, bytes]) -> None:
    for name in _environ().keys() - environ.keys():
        del os.environb[name]
    os.environb.update(environ)
    time.tzset()


def _user() -> tuple[Any, ...]:
    return os.getresuid(), os.getresgid(), os.getgroups()


def _root_folder() -> tuple[int, ...]:
    return os.stat("/")[1:3]  # noqa: PTH116  a Path takes longer


def _blocking() -> tuple[bool, ...]:
    return tuple(map(os.get_blocking, _STANDARD))


def _set_blocking(blocking: tuple[bool, ...]) -> None:
    for number, blocks in zip(_STANDARD, blocking, strict=True):
        os.set_blocking(number, blocks)


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _set_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _set_processors(numbers: set[int]) -> None:
    os.sched_setaffinity(0, numbers)


def _set_collection(on: bool) -> None:  # noqa: FBT001  the result of ``gc.isenabled``
    (gc.enable if on else gc.disable)()


def _set_thresholds(thresholds: tuple[int, int, int]) -> None:
    gc.set_threshold(*thresholds)


def _set_fault_handler(_on: object) -> None:
    faulthandler.enable(2)


def _streams() -> tuple[Any, ...]:
    out, err = sys.stdout, sys.stderr
    return sys.stdin, out, err, getattr(out, "closed", None), getattr(err, "closed", None)


def _set_streams(streams: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, *_ = streams  # a closed stream stays closed, which is detected afterwards


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _set_arguments(arguments: list[str]) -> None:
    sys.argv[:] = arguments


def _set_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()  # the only public way to forget which warnings were shown
    cast("list[Any]", warnings.filters)[:] = filters


SETTINGS: Final = (
    Setting("signal handlers", _handlers, _set_handlers),
    Setting("signal mask", partial(_raw.pthread_sigmask, _raw.SIG_BLOCK, ()), _set_mask),
    Setting("resource limits", _limits, _set_limits),
    Setting("environment", _environ, _set_environ),
    Setting("locale", _locale, _set_locale),
    Setting("nice value", partial(os.getpriority, os.PRIO_PROCESS, 0), _final),
    Setting("user or its groups", _user, _final),
    Setting("root folder", _root_folder, _final),
    Setting("hold on processes that lose their parent", adopts_orphans, _final),  # those that have escaped end with it
    Setting("scheduler", partial(os.sched_getscheduler, 0), _final),
    Setting("processors", partial(os.sched_getaffinity, 0), _set_processors),
    Setting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Setting("limit of digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    Setting("trace function", sys.gettrace, sys.settrace),
    Setting("profile function", sys.getprofile, sys.setprofile),
    Setting("trace function of threads", threading.gettrace, threading.settrace),
    Setting("profile function of threads", threading.getprofile, threading.setprofile),
    Setting("garbage collection", gc.isenabled, _set_collection),
    Setting("garbage thresholds", gc.get_threshold, _set_thresholds),
    Setting("default socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Setting("fault handler", faulthandler.is_enabled, _set_fault_handler),
    Setting("standard streams", _streams, _set_streams),
    Setting("blocking of standard streams", _blocking, _set_blocking),  # a program may have changed it, such as node
    Setting("module path", partial(getattr, sys, "path"), _set_path),
    Setting("arguments", partial(getattr, sys, "argv"), _set_arguments),
    Setting("warning filters", partial(getattr, warnings, "filters"), _set_filters),
)


_LIMITS_AT: Final = [setting.read for setting in SETTINGS].index(_limits)
"""Place of the resource limits among the settings."""


class ProcessState:
    """The process state before the first attempt. Main thread of a worker that runs one attempt at a time.

    Args:
        spec: The worker; its limits determine how much memory is too much.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        """Open the descriptors that are needed later. Called before the worker starts its second thread.

        If two threads share the table of descriptors, Linux delays the first high number until every processor has
        passed through the scheduler. That takes some ten milliseconds on a busy machine.
        """
        self._most_descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        # Moved away from the lowest free numbers. A function that closes descriptors blindly, and opens others, must
        # not have its own files mistaken for these.
        self._high = min(self._most_descriptors // 2, 512)
        self._folder = self._keep(os.open(".", os.O_PATH))
        self._sizes = self._keep(os.open("/proc/self/statm", os.O_RDONLY))
        self._identities: list[tuple[int, ...] | None] = [_identity(number) for number in _STANDARD]
        self._standard = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, self._high) for number in _STANDARD]
        self._cpu = spec.limits.cpu
        limit, resident = spec.limits.memory_mb, spec.max_rss_mb
        self._most_resident = None if resident is None else resident * _MIB
        held = self._memory()[1]
        self._most_data = None if limit is None else held + int(MEMORY_USED * max(0, limit * _MIB - held))
        self._sized = limit is not None or resident is not None
        self._peak: int | None = None
        with suppress(OSError):  # a kernel without this file
            peak = self._keep(os.open("/proc/self/clear_refs", os.O_WRONLY))
            os.pwrite(peak, _NEW_PEAK, 0)
            self._peak = peak

    def remember(self) -> None:
        """Remember everything else. Called before the first attempt.

        After a fork, each of these is on a page that must first be copied or mapped: a millisecond in all.
        """
        self._grant_cpu()
        self._reads = [setting.read for setting in SETTINGS]
        self._before = [copy(read()) for read in self._reads]
        self._functions = LibraryFunctions()
        self._threads = threading.enumerate()
        policy = _ASYNCIO.get(_POLICY)
        # If the app has no loop of its own, each attempt gets a new policy, because ``asyncio.run`` changes it.
        self._policy = None if type(policy).__module__.startswith("asyncio.") else policy
        self._file_mask = os.umask(0o077)
        os.umask(self._file_mask)
        self._seeds = 0
        self._random = cast("random.Random", vars(random)["_inst"])  # the instance behind the module's functions
        self._twin = random.Random()  # noqa: S311  a copy of that generator
        self._seed()

    def restore(self) -> str:
        """Restore what can be restored. Return what cannot, or nothing. Takes microseconds without changes."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.set_wakeup_fd(-1)
        threading.stack_size(0)
        _ASYNCIO[_POLICY] = self._policy
        os.umask(self._file_mask)
        try:
            os.fchdir(self._folder)
            if self._peak is not None:
                os.pwrite(self._peak, _NEW_PEAK, 0)  # so that the next attempt has its own
        except OSError:
            return "it closed descriptors that are not its own"
        self._restore_standard()
        if self._random.getrandbits(_DRAWN) != self._twin.getrandbits(_DRAWN):
            self._seed()
        reason = self._leftovers() or self._restore_settings() or self._functions.replaced()
        if self._cpu is not None:
            self._grant_cpu()
            self._before[_LIMITS_AT] = _limits()
        return reason or (self._usage() if self._sized else "")

    def _grant_cpu(self) -> None:
        """Let the next attempt use the CPU seconds of its limit; the kernel ends the process by SIGXCPU after them.

        The kernel counts what the process has used in total, in whole seconds.
        """
        if self._cpu is not None:
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            with suppress(OSError, ValueError):  # user code has lowered the limit for good
                resource.setrlimit(resource.RLIMIT_CPU, (ceil(time.process_time() + self._cpu), hard))

    def _seed(self) -> None:
        """Seed the random numbers again. Otherwise two attempts that set the same seed get the same "random" names.

        Needed only if an attempt drew a random number or set a seed. A copy of the generator, which user code does not
        know, then draws another number. Drawing takes a fiftieth of the time of seeding.
        """
        self._seeds += 1
        seed = time.perf_counter_ns() ^ os.getpid() << 64 ^ self._seeds << 96
        self._random.seed(seed)
        self._twin.seed(seed)

    def _restore_settings(self) -> str:
        try:
            same = [read() for read in self._reads] == self._before
        except Exception:  # noqa: BLE001  user code may have put any object there, with any ``__eq__``
            same = False
        if same:
            return ""
        for setting, before in zip(SETTINGS, self._before, strict=True):
            with suppress(Exception):
                if setting.read() == before:
                    continue
                setting.write(before)
                if setting.read() == before:
                    continue
            return f"it changed its {setting.name}"
        return ""

    def _restore_standard(self) -> None:
        try:
            now: list[tuple[int, ...] | None] = [os.fstat(0)[1:3], os.fstat(1)[1:3], os.fstat(2)[1:3]]
        except OSError:  # a stream is closed
            now = [_identity(number) for number in _STANDARD]
        if now == self._identities:
            return
        for number, identity, kept in zip(_STANDARD, self._identities, self._standard, strict=True):
            if _identity(number) != identity:
                for stream in (sys.stdout, sys.stderr):
                    with suppress(OSError, ValueError, AttributeError):  # it is closed or replaced
                        stream.flush()
                with suppress(OSError):
                    os.dup2(kept, number)

    def _leftovers(self) -> str:
        """Return what the attempt left running or open; empty if nothing."""
        if threading.active_count() > len(self._threads):
            end = time.monotonic() + THREADS_END
            left = [thread for thread in threading.enumerate() if thread not in self._threads]
            for thread in left:
                thread.join(max(0.0, end - time.monotonic()))
            if running := sum(thread.is_alive() for thread in left):
                return f"it left {running} {'thread' if running == 1 else 'threads'} running"
        try:
            free = os.dup(self._folder)
            os.close(free)
        except OSError:
            return "it left no descriptor to open"
        return "it left most descriptors open" if free > DESCRIPTORS_USED * self._most_descriptors else ""

    def _usage(self) -> str:
        """Return a description of the process's size if it has grown too large."""
        resident, data = self._memory()
        if self._most_resident is not None and resident > self._most_resident:
            return f"its resident size is {resident // _MIB} MiB, above {self._most_resident // _MIB} MiB"
        if self._most_data is not None and data > self._most_data:
            return f"it keeps {data // _MIB} MiB, which leaves too little below its limit"
        return ""

    def _memory(self) -> tuple[int, int]:
        """Return the resident size, and the size that the kernel counts for RLIMIT_DATA, in bytes."""
        sizes = os.pread(self._sizes, 128, 0).split()
        return int(sizes[1]) * _PAGE, int(sizes[5]) * _PAGE

    def _keep(self, descriptor: int) -> int:
        try:
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, self._high)
        finally:
            os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, ...] | None:
    """Return inode and device of an open file, which identify it; None if it is closed."""
    try:
        return os.fstat(descriptor)[1:3]
    except OSError:
        return None
