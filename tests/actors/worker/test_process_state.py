"""Whatever an attempt changes in its process: the next one does not find it, or the worker asks to be replaced."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom.messages.frames.worker import Completed, Failed, Ready
from greenroom.messages.options.policy import Limits
from tests.actors.worker_process import Worker

APP = """
import asyncio, builtins, decimal, faulthandler, gc, json, linecache, locale, os, random, resource, signal, socket, subprocess, sys, threading
import time, warnings
from pathlib import Path

from greenroom import tool

HERE = Path(__file__).parent
kept = []


def handler(number, frame): ...
def tracer(*arguments): return None


def lower(which, hard=False):
    soft, most = resource.getrlimit(which)
    resource.setrlimit(which, (100, 100 if hard else most))


def set_environment():
    os.environ["PLANTED"] = "1"
    del os.environ["HOME"]
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def leave_a_thread(daemon):
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, daemon=daemon).start()


def open_many():
    for _ in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
        try:
            kept.append(open(os.devnull))
        except OSError:
            return


def restart_loop():
    asyncio.run(asyncio.sleep(0))


def keep_memory():
    kept.append(bytearray(300 << 20))


def write_without_waiting():
    for number in range(3):
        os.set_blocking(number, False)


def alarm_soon():
    signal.alarm(1)
    faulthandler.dump_traceback_later(0.5, exit=True)


CHANGES = {
    "handler": lambda: signal.signal(signal.SIGTERM, handler),
    "ignored": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "stack signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL),
    "ignored stack signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM}),
    "wakeup": lambda: signal.set_wakeup_fd(socket.socketpair()[0].detach(), warn_on_full_buffer=False),
    "alarm": alarm_soon,
    "environment": set_environment,
    "locale": lambda: locale.setlocale(locale.LC_NUMERIC, "C.UTF-8"),
    "recursion": lambda: sys.setrecursionlimit(200),
    "switching": lambda: sys.setswitchinterval(1.0),
    "digits": lambda: sys.set_int_max_str_digits(1000),
    "trace": lambda: sys.settrace(tracer),
    "profile": lambda: sys.setprofile(tracer),
    "threads' trace": lambda: threading.settrace(tracer),
    "collector": lambda: gc.disable(),
    "thresholds": lambda: gc.set_threshold(1, 1, 1),
    "socket timeout": lambda: socket.setdefaulttimeout(0.001),
    "fault handler": faulthandler.disable,
    "loop": restart_loop,
    "stdout": lambda: setattr(sys, "stdout", open(os.devnull, "w")),
    "path": lambda: sys.path.insert(0, "/planted"),
    "new path": lambda: setattr(sys, "path", ["/planted"]),
    "arguments": lambda: sys.argv.append("planted"),
    "warnings": lambda: warnings.simplefilter("error"),
    "decimals": lambda: setattr(decimal.getcontext(), "prec", 2),
    "seed": lambda: random.seed(1),
    "folder": lambda: os.chdir("/"),
    "file mask": lambda: os.umask(0o777),
    "descriptors": lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 1),
    "streams that do not wait": write_without_waiting,
    "processors": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "child": lambda: kept.append(subprocess.Popen(["sleep", "1000"])),
    "open files": lambda: lower(resource.RLIMIT_NOFILE),
    "file size": lambda: lower(resource.RLIMIT_FSIZE),
    "open files, for good": lambda: lower(resource.RLIMIT_NOFILE, hard=True),
    "nice": lambda: os.nice(5),
    "thread": lambda: leave_a_thread(False),
    "daemon": lambda: leave_a_thread(True),
    "leaks": open_many,
    "closed stdout": lambda: sys.stdout.close(),
    "strange stdout": lambda: setattr(sys, "stdout", object()),
    "memory": keep_memory,
    "json": lambda: setattr(json, "dumps", None),
    "clock": lambda: setattr(time, "monotonic", lambda: 0.0),
    "sockets": lambda: [setattr(socket, name, handler) for name in ("socket", "socketpair")],
    "source lines": lambda: delattr(linecache, "getline"),
    "print": lambda: setattr(builtins, "print", tracer),
    "nothing": lambda: None,
}


@tool
def change(name: str) -> None:
    CHANGES[name]()


@tool
def peak(megabytes: int) -> int:
    bytearray(megabytes << 20)
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024


@tool
def change_and_fail(name: str) -> None:
    CHANGES[name]()
    raise ValueError(name)


@tool
async def use_a_thread(seconds: float) -> None:
    helper = asyncio.create_task(asyncio.to_thread(time.sleep, seconds))
    await asyncio.sleep(0.05)
    if seconds < 1:
        await helper


def current_loop():
    try:
        with warnings.catch_warnings():  # from Python 3.12 on, it warns where it makes the loop that is to be there
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.get_event_loop().close()
    except RuntimeError as error:
        return str(error)
    finally:
        asyncio.set_event_loop(None)
    return "there"


@tool
def look() -> dict[str, object]:
    status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
    first = random.random()
    random.seed(1)
    seeded = random.random() == first
    return {
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "caught": status["SigCgt"],
        "ignored": status["SigIgn"],
        "blocked": status["SigBlk"],
        "wakeup": signal.set_wakeup_fd(-1),
        "alarm": list(signal.getitimer(signal.ITIMER_REAL)),
        "environment": dict(os.environ),
        "child's environment": sorted(subprocess.check_output(["env"], text=True).splitlines()),
        "zone": time.strftime("%Z"),
        "locale": locale.setlocale(locale.LC_ALL),
        "settings": [
            sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), str(sys.gettrace()),
            str(sys.getprofile()), str(threading.gettrace()), gc.isenabled(), str(gc.get_threshold()),
            socket.getdefaulttimeout(), faulthandler.is_enabled(), sys.path, sys.argv, str(warnings.filters),
            decimal.getcontext().prec,
        ],
        "loop": current_loop(),
        "stdout": [sys.stdout.name, sys.stdout.fileno(), os.fstat(1).st_ino],
        "blocking": [os.get_blocking(number) for number in range(3)],
        "seeded": seeded,
        "folder": os.getcwd(),
        "mask": os.umask(0o22),
        "processors": sorted(os.sched_getaffinity(0)),
        "limits": [list(resource.getrlimit(which)) for which in range(16)],
        "nice": os.nice(0),
        "threads": threading.active_count(),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
    }
"""

NEEDS_ANOTHER_PROCESS = {
    "nice": "it changed its nice value",
    "thread": "it left 1 thread running",
    "daemon": "it left 1 thread running",
    "leaks": "it left no descriptor to open",
    "closed stdout": "it changed its standard streams",
    "json": "it replaced json.dumps",
    "clock": "it replaced time.monotonic",
    "sockets": "it replaced socket.socket, socket.socketpair",
    "source lines": "it replaced linecache.getline",
    "print": "it replaced builtins.print",
}
"""What cannot be put back. A hard limit can be by root alone, memory is kept within some bound."""
CHANGES = [
    line.split('"')[1] for line in APP.partition("CHANGES = {")[2].partition("}\n\n")[0].splitlines() if '": ' in line
]


@pytest.fixture
def app(write_app: Callable[..., Path]) -> Path:
    return write_app(APP)


def looked(worker: Worker) -> dict[str, Any]:
    answer = worker.call("app:look")
    assert isinstance(answer, Completed), answer
    assert not answer.spoilt
    return answer.result  # type: ignore[return-value]


@pytest.mark.timeout(300)
def test_what_an_attempt_changes_is_put_back_or_the_worker_asks_to_be_replaced(
    app: Path, start_worker: Callable[..., Worker]
) -> None:
    worker = None
    for name in CHANGES:
        for step in ("change", "change_and_fail"):
            if worker is None:
                worker = start_worker(app)
                assert isinstance(worker.receive(), Ready)
                before = looked(worker)
            answer = worker.call(f"app:{step}", name)
            assert isinstance(answer, Completed | Failed)
            if answer.spoilt:
                assert answer.spoilt == NEEDS_ANOTHER_PROCESS.get(name, "it changed its resource limits")
                assert name in NEEDS_ANOTHER_PROCESS or "for good" in name
                worker = None
            else:
                assert name not in NEEDS_ANOTHER_PROCESS
                assert looked(worker) == before, name


def test_functions_that_an_app_replaces_while_it_is_imported_are_no_reason(
    write_app: Callable[..., Path], start_worker: Callable[..., Worker]
) -> None:
    app = write_app("import time\n\ntime.time = lambda: 0.0\n" + APP)
    worker = start_worker(app)
    assert isinstance(worker.receive(), Ready)
    assert worker.call("app:change", "nothing").spoilt == ""


def test_the_peak_of_memory_is_that_of_the_newest_attempt(app: Path, start_worker: Callable[..., Worker]) -> None:
    worker = start_worker(app)
    assert isinstance(worker.receive(), Ready)
    before = worker.call("app:peak", 0).result
    assert worker.call("app:peak", 300).result > before + 250
    assert worker.call("app:peak", 0).result < before + 100


def test_threads_of_an_attempt_that_end_with_it_are_no_reason(app: Path, start_worker: Callable[..., Worker]) -> None:
    worker = start_worker(app)
    assert isinstance(worker.receive(), Ready)
    assert [worker.call("app:use_a_thread", 0.01).spoilt for _ in range(3)] == ["", "", ""]
    assert worker.call("app:use_a_thread", 30.0).spoilt == "it left 1 thread running"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"max_rss_mb": 200}, r"its resident size is \d+ MiB, above 200 MiB"),
        ({"limits": Limits(memory_mb=400)}, r"it keeps \d+ MiB, which leaves too little below its limit"),
        ({"max_rss_mb": 800, "limits": Limits(memory_mb=2000)}, r"$"),
    ],
)
def test_a_worker_that_keeps_too_much_memory_asks_to_be_replaced(
    app: Path, start_worker: Callable[..., Worker], spec: dict[str, Any], reason: str
) -> None:
    worker = start_worker(app, **spec)
    assert isinstance(worker.receive(), Ready)
    assert worker.call("app:change", "nothing").spoilt == ""
    assert re.match(reason, worker.call("app:change", "memory").spoilt)
