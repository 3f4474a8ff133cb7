"""A script that embeds ``Orchestrator`` and prints what each setting of its process is before, meanwhile and after.

The first argument is Python code that sets what its user wants; the second what he does while orchestrators are open.
"""

import asyncio
import ctypes
import faulthandler
import gc
import json
import locale
import logging
import os
import resource
import signal
import sys
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from greenroom import Orchestrator

_libc = ctypes.CDLL(None)
PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_GET_CHILD_SUBREAPER, PR_GET_NO_NEW_PRIVS = 2, 3, 37, 39


def flag(option: int) -> int:
    value = ctypes.c_int()
    _libc.prctl(option, ctypes.byref(value), 0, 0, 0)
    return value.value


def settings() -> dict[str, Any]:
    mask = os.umask(0)
    os.umask(mask)
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    limits = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    found = {
        "switch interval": sys.getswitchinterval(),
        "garbage thresholds": gc.get_threshold(),
        "garbage collection": gc.isenabled(),
        "frozen objects": gc.get_freeze_count(),
        **{name: resource.getrlimit(which) for name, which in limits.items()},
        "dumpable": _libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
        "no new privileges": _libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        "subreaper": flag(PR_GET_CHILD_SUBREAPER),
        "death signal": flag(PR_GET_PDEATHSIG),
        "handlers": [signal.getsignal(number) for number in range(1, signal.NSIG)],
        "signal mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "wakeup descriptor": wakeup,
        "fault handler": faulthandler.is_enabled(),
        "file mask": mask,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "path": sys.path,
        "arguments": sys.argv,
        "recursion limit": sys.getrecursionlimit(),
        "limit of digits": sys.get_int_max_str_digits(),
        "hooks": [sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace(), sys.getprofile()],
        "stack of threads": threading.stack_size(),
        "event loop policy": type(asyncio.get_event_loop_policy()),
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": warnings.filters,
        "streams": [sys.stdin, sys.stdout, sys.stderr],
        "logging": [logging.root.level, logging.root.handlers, logging.lastResort],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": os.sched_getaffinity(0),
        "threads": [thread.name for thread in threading.enumerate()],
    }
    return {name: repr(value) for name, value in found.items()}


def main() -> None:
    exec(sys.argv[1])
    before = settings()
    with ExitStack() as second:
        with Orchestrator(":memory:", home="first", output=False):
            second.enter_context(Orchestrator(":memory:", home="second", output=False))
            exec(sys.argv[2])
            both = settings()
        one = settings()
    print(json.dumps([before, both, one, settings()]))


if __name__ == "__main__":
    main()
