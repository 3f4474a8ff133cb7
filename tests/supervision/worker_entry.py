"""What the workers of the backend tests run: a blocking loop that answers each ``Execute`` or comes to harm by it."""

import ctypes
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenroom.messages.codecs.codec import FROM_WORKER, HEADER, SCHEMA_VERSION, TO_WORKER, FrameDecoder
from greenroom.messages.core.json_text import plain as read
from greenroom.messages.frames.worker import Completed, Execute, Progress, Ready, Stop, WorkerSpec
from greenroom.supervision.kernel import linux

APPS: dict[str, Callable[[], None]] = {}


def preload(app: str) -> dict[str, tuple[str, ...]]:
    """Load an app: for these tests, a name of what loading it does."""
    APPS[app]()
    return {}


def _app(function: Callable[[], None]) -> Callable[[], None]:
    APPS[function.__name__] = function
    return function


@_app
def plain() -> None:
    """Load without incident."""


@_app
def shaken() -> None:
    """Crash as an import does whose frames the watchdog's thread reads at the wrong moment."""
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        os.kill(os.getpid(), signal.SIGSEGV)


@_app
def broken() -> None:
    sys.stdout.write("about to fail\n")
    raise RuntimeError("the app's own mistake")


@_app
def threaded() -> None:
    threading.Thread(target=time.sleep, args=(1000,), name="napper", daemon=True).start()


@_app
def threaded_until_it_forks() -> None:
    """Do as the arithmetic library of numpy does: end the thread before each fork."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, daemon=True)
    thread.start()

    def finish() -> None:
        end.set()
        thread.join()

    os.register_at_fork(before=finish)


@_app
def leaving() -> None:
    sys.exit("no thanks")


@_app
def crashing() -> None:
    ctypes.string_at(0)


@_app
def endless() -> None:
    sys.stderr.write("loading for ever\n")
    threading.Event().wait()


@_app
def held() -> None:
    """Tell which process imports, and import until the test writes a file."""
    folder = Path(os.environ["HELD_IN"])
    (folder / f"importing-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


@_app
def talkative() -> None:
    sys.stdout.write("x" * 1_000_000 + "\nthe last line\n")
    raise RuntimeError("after all that")


@_app
def starts_daemon() -> None:
    _daemon(["sleep", "1000"])


SEATS = 2


@_app
def seated() -> None:
    """Have workers that end at once where no seat is free."""

    def take() -> None:
        if len(Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children").read_text().split()) > SEATS:
            os._exit(3)

    os.register_at_fork(after_in_child=take)


@_app
def crowded() -> None:
    """Have a kernel that gives no more processes."""
    fork = os.fork

    def refuse() -> int:
        if len(linux.child_pids()) >= SEATS:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    os.fork = refuse


def _daemon(command: list[str]) -> None:
    """Start a process that has left session, group and parent."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp(command[0], command)
        os._exit(0)
    os.wait()


def main(connection: socket.socket, spec: WorkerSpec) -> None:
    """Be a worker."""
    speak(connection, Ready(), spec)
    decoder = FrameDecoder()
    while data := connection.recv(1 << 20):
        for body in decoder.feed(data):
            message: Any = TO_WORKER.decode(body).message
            if isinstance(message, Stop):
                return
            assert isinstance(message, Execute)
            result = COMMANDS[message.name](connection, read(message.arguments))
            speak(connection, Completed(token=message.token, result=result, duration=0.0), spec)


def speak(connection: socket.socket, message: Any, spec: WorkerSpec) -> None:
    connection.sendall(FROM_WORKER.encode(message, incarnation=spec.incarnation))


# ---------------------------------------------------------------- what a worker can be told to do

COMMANDS: dict[str, Callable[[socket.socket, Any], Any]] = {}


def _command(function: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    COMMANDS[function.__name__] = function
    return function


@_command
def echo(_: socket.socket, value: Any) -> Any:
    return value


@_command
def leave(_: socket.socket, code: Any) -> Any:
    os._exit(code)


@_command
def raise_exit(_: socket.socket, code: Any) -> Any:
    sys.exit(code)


@_command
def raise_error(_: socket.socket, text: Any) -> Any:
    raise LookupError(text)


@_command
def segfault(_: socket.socket, __: Any) -> Any:
    ctypes.string_at(0)


@_command
def kill_self(_: socket.socket, number: Any) -> Any:
    os.kill(os.getpid(), number)


@_command
def answer_and_die(connection: socket.socket, token: Any) -> Any:
    connection.sendall(FROM_WORKER.encode(Completed(token=token, result="done", duration=0.0)))
    os.kill(os.getpid(), signal.SIGKILL)


@_command
def repeat(_: socket.socket, given: Any) -> Any:
    """Give a list of as many as are asked for of what a text stands for."""
    text, count = given
    return [json.loads(text)] * count


@_command
def answer_at_length(connection: socket.socket, given: Any) -> Any:
    """Say something long, then short things, and die or go on; what of it may not be a message is the test's choice."""
    token, text, ending = given
    long = FROM_WORKER.encode(Completed(token=token, result=text, duration=0.0))
    if ending == "garbage":
        long = long[:-1] + b"}"  # no JSON any more
    short = b"".join(FROM_WORKER.encode(Completed(token=token, result=number, duration=0.0)) for number in range(3))
    connection.sendall(long + short + (b"\xff" * 100 if ending == "fault" else b""))
    if ending == "die":
        os.kill(os.getpid(), signal.SIGKILL)


@_command
def hold_the_lock(_: socket.socket, __: Any) -> Any:
    re.match(r"(a+)+$", "a" * 60 + "b")


@_command
def wait_for_ever(_: socket.socket, __: Any) -> Any:
    threading.Event().wait()


@_command
def report_and_wait(connection: socket.socket, token: Any) -> Any:
    connection.sendall(FROM_WORKER.encode(Progress(token=token)))
    threading.Event().wait()


@_command
def ignore_term(_: socket.socket, __: Any) -> Any:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return True


@_command
def flood(_: socket.socket, megabytes: Any) -> Any:
    for _number in range(megabytes):
        os.write(1, b"o" * 1_000_000 + b"\n")
        os.write(2, b"e" * 1_000_000 + b"\n")
    return True


@_command
def flood_and_leave(connection: socket.socket, megabytes: Any) -> Any:
    flood(connection, megabytes)
    os.write(2, b"the last words\n")
    os._exit(0)


@_command
def print_lines(_: socket.socket, lines: Any) -> Any:
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stderr.write(f"{line}\n")
    return True


@_command
def send_bytes(connection: socket.socket, kind: Any) -> Any:
    good = FROM_WORKER.encode(Ready())
    connection.sendall(
        {
            "length": HEADER.pack(0xFFFFFFFF, SCHEMA_VERSION) + b"x" * 100,
            "version": HEADER.pack(10, 77) + b"x" * 10,
            "json": HEADER.pack(9, SCHEMA_VERSION) + b"{not json",
            "type": HEADER.pack(28, SCHEMA_VERSION) + b'{"message":{"type":"steal"}}',
            "depth": HEADER.pack(200_000, SCHEMA_VERSION) + b"[" * 200_000,
            "pickle": b"\x80\x04\x95" + b"x" * 100,
            "life": FROM_WORKER.encode(Ready(), incarnation=9999),
            "mixed": good + good + b"\xff" * 100,
        }[kind]
    )
    threading.Event().wait()


@_command
def send_half_and_die(connection: socket.socket, __: Any) -> Any:
    frame = FROM_WORKER.encode(Completed(token="half", result="x" * 1000, duration=0.0))
    connection.sendall(frame[:500])
    os._exit(4)


@_command
def hang_up(connection: socket.socket, __: Any) -> Any:
    connection.shutdown(socket.SHUT_RDWR)
    threading.Event().wait()


@_command
def hang_up_and_leave(connection: socket.socket, code: Any) -> Any:
    connection.close()
    os._exit(code)


@_command
def family(_: socket.socket, __: Any) -> Any:
    """Start a plain child, a child in a session of its own and a daemon; all of them hold the socket, too."""
    reading, writing = os.pipe()
    pids: list[int] = []
    for kind in ("child", "session", "daemon"):
        pid = os.fork()
        if pid == 0:
            if kind != "child":
                os.setsid()
            if kind == "daemon" and os.fork() != 0:
                os._exit(0)
            os.write(writing, f"{os.getpid()} ".encode())
            signal.pause()
        pids.append(pid)
    os.waitpid(pids[2], 0)
    found: list[int] = []
    while len(found) < 3:
        found += map(int, os.read(reading, 1000).split())
    return found


@_command
def clean_daemon(_: socket.socket, __: Any) -> Any:
    """Start a daemon that carries nothing of ours: no environment, no descriptor, no session."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            os.closerange(0, 100)
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        os._exit(0)
    os.wait()
    return int(os.read(reading, 100))


@_command
def subprocess_sleep(_: socket.socket, __: Any) -> Any:
    return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid


@_command
def allocate(_: socket.socket, megabytes: Any) -> Any:
    try:
        return len(bytearray(megabytes << 20)) >> 20
    except MemoryError:
        return "MemoryError"


@_command
def die_of_memory(_: socket.socket, megabytes: Any) -> Any:
    return len(bytearray(megabytes << 20))


@_command
def burn(_: socket.socket, __: Any) -> Any:
    while True:
        pass


def signals_of_a_child() -> dict[str, int]:
    """Execute a program that says which signals it ignores and blocks; by no way that would reset them for it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        os.execv("/bin/cat", ["cat", "/proc/self/status"])
    os.close(writing)
    with os.fdopen(reading) as text:
        lines = dict(line.split(":", 1) for line in text)
    os.waitpid(pid, 0)
    return {name: int(lines[name], 16) for name in ("SigIgn", "SigBlk")}


def _is_of_libffi(number: int) -> bool:
    """Return whether a descriptor is the one of itself that libffi keeps where ctypes uses a system's build of it."""
    try:
        return Path(f"/proc/self/fd/{number}").readlink().name.startswith("libffi")
    except OSError:  # that of the listing, which is closed
        return False


@_command
def describe_self(_: socket.socket, __: Any) -> Any:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        "environ": dict(os.environ),
        "descriptors": [number for number in linux.numbers_in("/proc/self/fd") if not _is_of_libffi(number)],
        "session": os.getsid(0),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "threads": threading.active_count(),
        "no_new_privs": status["NoNewPrivs"].strip(),
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        "workdir": str(Path.cwd()),
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "signals": signals_of_a_child(),
        "stdin": os.read(0, 10).decode(),
    }
