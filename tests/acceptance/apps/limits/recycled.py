"""Tools that spoil the process they run in, and ones that go on to read what is sent to it after they have answered."""

import asyncio
import ctypes
import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from greenroom import Retry, tool, workflow
from greenroom.actors.api.step_context import running
from greenroom.messages.codecs.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from greenroom.messages.frames.worker import Completed, Execute, Stop

ONCE = Retry(attempts=1)
kept: list[object] = []


def let_orphans_go() -> None:
    """See to it that no process below this one comes to it when it loses its parent."""
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


BY_ONE_CALL: dict[str, Callable[[], object]] = {
    "orphans": let_orphans_go,
    "group": lambda: os.setgid(12345),
    "groups": lambda: os.setgroups([12345]),
    "root folder": lambda: os.chroot("/proc"),
    "json": lambda: setattr(json, "dumps", None),
}


@tool(retry=ONCE)
def spoil(how: str) -> int:
    """Leave the process in a state in which the next step cannot work."""
    if how == "descriptors":
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    elif how == "all open":
        while True:
            try:
                kept.append(Path(os.devnull).open())  # noqa: SIM115  that is the fault
            except OSError:
                break
    elif how == "nice":
        os.nice(19)
    elif how == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif how in BY_ONE_CALL:
        BY_ONE_CALL[how]()
    elif how == "state":
        kept.append("broken")
    return os.getpid()


@tool(retry=ONCE)
def leave_a_daemon() -> int:
    """Leave a process that this one no longer knows, and return its pid."""
    let_orphans_go()
    there, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(tell, os.getpid().to_bytes(4, "big"))
            time.sleep(1000)
        os._exit(0)
    os.wait()
    return int.from_bytes(os.read(there, 4), "big")


@workflow
async def leaving() -> int:
    """Leave a process behind."""
    return await leave_a_daemon()


@tool(retry=ONCE)
async def work(number: int) -> int:
    """Need the process to be in order."""
    if "broken" in kept:
        raise RuntimeError("this process is broken")
    pairs = [socket.socketpair() for _ in range(10)]
    for pair in pairs:
        for end in pair:
            end.close()
    assert os.nice(0) < 19
    assert threading.active_count() <= 2
    await asyncio.sleep(0)
    return os.getpid()


@tool(retry=Retry(attempts=4, initial=0.01, jitter=0.0))
def fail_here(folder: str) -> int:
    """Fail in the first process."""
    Path(folder, str(os.getpid())).touch()
    pids = list(Path(folder).iterdir())
    if len(pids) < 2:
        raise RuntimeError("not in this process")
    return os.getpid()


@tool(retry=ONCE)
def secret(word: str) -> str:
    """Take an argument that is nobody else's."""
    return f"{word} in {os.getpid()}"


@tool(retry=ONCE)
def eavesdrop(folder: str, how: str) -> int:
    """Answer, and from then on write down all that this process is sent: to whom, and whatever it says."""
    attempt = running.get()
    assert attempt is not None
    channel = attempt._send.__self__  # type: ignore[attr-defined]  # what hides nothing from code of the same process
    if how == "listens":
        channel._decoder = Listening(folder)
        return os.getpid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = channel._connection
    threading.Thread(target=read_on, args=(connection, folder), daemon=True).start()
    connection.sendall(FROM_WORKER.encode(Completed(token=attempt.token, result=os.getpid(), duration=0.0)))
    threading.Event().wait()
    raise AssertionError("nobody sets that")


class Listening(FrameDecoder):
    """Notes what the worker reads and hands it on."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def feed(self, data: bytes) -> Iterator[bytes]:
        for body in super().feed(data):
            overhear(self.folder, body)
            yield body


def read_on(connection: socket.socket, folder: str) -> None:
    """Read in the worker's stead, and answer whatever is asked. What it keeps it keeps to its end."""
    decoder = FrameDecoder()
    while data := connection.recv(65536):
        for body in decoder.feed(data):
            message = overhear(folder, body)
            if isinstance(message, Execute):
                kept.append(message)
                connection.sendall(FROM_WORKER.encode(Completed(token=message.token, result="forged", duration=0.0)))


def overhear(folder: str, body: bytes) -> Any:
    message = TO_WORKER.decode(body).message
    with Path(folder, "overheard").open("ab") as file:
        file.write(message.type.encode() + b" " + (body if not isinstance(message, Stop) else b"") + b"\n")
    return message


@tool(retry=ONCE)
def confide(word: str, folder: str) -> str:
    """Take an argument that is nobody else's, and have it in memory until the file ``enough`` exists."""
    Path(folder, "confided").write_text(str(os.getpid()))
    while not Path(folder, "enough").exists():
        time.sleep(0.005)
    return word


@workflow
async def eavesdropping(folder: str, how: str) -> int:
    """Have a tool read on after its answer."""
    return await eavesdrop(folder, how)


@workflow
async def confiding(word: str, folder: str) -> str:
    """Hand a secret to a tool."""
    return await confide(word, folder)


@workflow
async def spoiling(how: str, tasks: int) -> list[int]:
    """Spoil a process, then do the work of others, one after the other."""
    pids = [await spoil(how)]
    return pids + [await work(number) for number in range(tasks)]


@workflow
async def working(number: int) -> int:
    """Do some work."""
    return await work(number)


@workflow
async def failing(folder: str) -> int:
    """Fail until another process takes over."""
    return await fail_here(folder)


@workflow
async def secrets(words: list[str]) -> list[str]:
    """Have secrets handled one after the other."""
    return [await secret(word) for word in words]
