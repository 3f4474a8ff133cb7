"""``greenroom doctor``: whether this machine has what greenroom needs, and how to fix what is missing."""

import ctypes
import os
import platform
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, table
from greenroom.cli.exit_codes import RUN_FAILED
from greenroom.cli.settings import Settings
from greenroom.messages.advice import raise_files, set_mode

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home

SAFE_SQLITE = (3, 51, 3)
"""The first SQLite release whose write-ahead log cannot be reset under a reader."""
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"}
ENOUGH_MB = 200
ENOUGH_FILES = 1024
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "GREENROOM_MODEL")
PR_GET_PDEATHSIG = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. ``bad`` means that runs cannot work, ``warn`` that something may surprise."""

    check: str
    state: Literal["ok", "warn", "bad"]
    found: str
    remedy: str = ""


@click.command()
@common
@pass_settings
def doctor(settings: Settings) -> int:
    """Check Python, the platform, SQLite, the home and its disk, limits, and how fast a worker starts."""
    findings = list(_examine(settings.home))
    if settings.json:
        emit([asdict(finding) for finding in findings])
    table(
        ("check", "state", "found", "remedy"),
        [(one.check, one.state, one.found, one.remedy) for one in findings],
        sys.stderr if settings.json else None,
    )
    return RUN_FAILED if any(finding.state == "bad" for finding in findings) else 0


def _examine(home: "Home") -> Iterator[Finding]:
    yield _python()
    yield from _platform()
    yield _sqlite()
    yield from _home(home)
    yield from _held(home)
    yield from _limits()
    yield _cores()
    yield _worker()
    yield _keys()
    yield _environment()


def _environment() -> Finding:
    """List the names of the variables that are withheld from workers."""
    from greenroom.messages.core.errors import DefinitionError
    from greenroom.supervision.policy.worker_environment import NOTHING, set_outside, withheld
    from greenroom.workflows.home.project import given_to_apps, read_project

    try:
        given = given_to_apps(read_project(), NOTHING)
    except DefinitionError as error:
        return Finding("environment", "bad", str(error), "mend the table: no orchestrator starts like this")
    kept = withheld(set_outside(os.environ, given), given)
    found = f"workers inherit all but {', '.join(kept)}" if kept else "workers inherit all of it"
    return Finding("environment", "ok", found, "give by name what they need: --env NAME" if kept else "")


def _python() -> Finding:
    good = sys.version_info[:2] >= (3, 11)
    return Finding(
        "python", "ok" if good else "bad", platform.python_version(), "" if good else "use Python 3.11 or later"
    )


def _platform() -> Iterator[Finding]:
    linux = sys.platform == "linux"
    yield Finding(
        "system", "ok" if linux else "bad", platform.platform(), "" if linux else "run on Linux, or in a container"
    )
    if not linux:
        return
    yield _try("pidfd", _open_pidfd, "a kernel from 5.3 on that lets this process use pidfd_open")
    yield _try("death signal", _read_death_signal, "a kernel and sandbox that allow prctl(PR_SET_PDEATHSIG)")


def _try(check: str, attempt: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(check, "ok", attempt())
    except (OSError, AttributeError) as error:
        return Finding(check, "bad", str(error), remedy)


def _open_pidfd() -> str:
    fd = os.pidfd_open(os.getpid())
    signal.pidfd_send_signal(fd, 0)
    os.close(fd)
    return "the end of a process can be waited for"


def _read_death_signal() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(ctypes.c_int())) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "workers can be made to die with their orchestrator"


def _sqlite() -> Finding:
    import apsw

    version = apsw.sqlite_lib_version()
    good = tuple(int(part) for part in version.split(".")) >= SAFE_SQLITE
    return Finding("sqlite", "ok" if good else "bad", version, "" if good else "install a newer apsw")


def _home(home: "Home") -> Iterator[Finding]:
    from greenroom.messages.core.errors import JournalError

    place = next(path for path in (home.path, *home.path.parents) if path.exists())
    there = place == home.path
    writable = os.access(place, os.W_OK | os.X_OK)
    said = str(home.path) if there else f"{home.path}, made by the first run"
    if not writable:
        said = f"{home.path} cannot be {'written to' if there else f'made in {place}'}"
    yield Finding("home", "ok" if writable else "bad", said, "" if writable else "choose another with --home")
    if there:
        mode = home.path.stat().st_mode & 0o777
        private = not mode & 0o077
        yield Finding(
            "permissions",
            "ok" if private else "warn",
            f"{mode:04o}",
            "" if private else set_mode("700", str(home.path)),
        )
    try:
        home.check()
    except JournalError as error:
        yield Finding("trust", "bad", "may be somebody else's", str(error))
    kind = _file_system(place)
    local = kind not in NETWORK
    remedy = "" if local else "keep the home on a local disk: locks and SQLite's log do not hold over a network"
    yield Finding("file system", "ok" if local else "bad", kind, remedy)
    free = shutil.disk_usage(place).free // 2**20
    enough = free >= ENOUGH_MB
    yield Finding(
        "free disk", "ok" if enough else "warn", f"{free} MiB", "" if enough else "make room before a long run"
    )


def _file_system(place: Path) -> str:
    """Return the type of the file system that holds ``place``: that of the longest mount point above it."""
    import psutil

    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def _held(home: "Home") -> Iterator[Finding]:
    """List the models and tools whose calls wait, because a provider has asked for it or a breaker is open."""
    from greenroom.supervision.policy.held_calls import TOOL
    from greenroom.workflows.home.held_calls import read_held_calls

    now, found = time.time(), False
    for each in read_held_calls(home.path):
        if words := each.words(now):
            found = True
            kind = "tool" if each.name.startswith(TOOL) else "model"
            remedy = "calls wait until then; see what the provider says of its limits and its status"
            yield Finding(f"{kind} {each.name.removeprefix(TOOL)}", "warn", words, remedy)
    if not found:
        yield Finding("calls", "ok", "no model or tool is held back")


def _limits() -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    enough = files == resource.RLIM_INFINITY or files >= ENOUGH_FILES
    yield Finding(
        "open files", "ok" if enough else "warn", str(files), "" if enough else raise_files(str(ENOUGH_FILES * 4))
    )
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    free = processes == resource.RLIM_INFINITY
    yield Finding("processes", "ok", "no limit" if free else str(processes))


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Finding("cores", "ok" if cores > 1 else "warn", str(cores), "" if cores > 1 else "expect one step at a time")


def _worker() -> Finding:
    """Start a real orchestrator with a journal in memory, and run a workflow of a real app."""
    import tempfile

    from greenroom.messages.core.errors import GreenroomError
    from greenroom.workflows.api.orchestrator import Orchestrator

    with tempfile.TemporaryDirectory(prefix="greenroom-doctor-") as folder:
        try:
            start = time.perf_counter()
            with Orchestrator(":memory:", home=folder, output=False) as orchestrator:
                up = time.perf_counter()
                orchestrator.start_app("greenroom.cli.commands.demo.app", "hello", {}).result(timeout=30)
                done = time.perf_counter()
        except (GreenroomError, TimeoutError, OSError) as error:
            return Finding("worker", "bad", str(error), "set GREENROOM_TRACEBACK=full, or use a less strict sandbox")
    found = f"orchestrator up in {(up - start) * 1000:.0f} ms, first run of a fresh app in {(done - up) * 1000:.0f} ms"
    return Finding("worker", "ok", found)


def _keys() -> Finding:
    present = [name for name in KEYS if os.environ.get(name)]
    return Finding("keys", "ok", f"set: {', '.join(present)}" if present else "none set; the embedded model needs none")
