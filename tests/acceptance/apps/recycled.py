"""Tools that spoil the process they run in, and one that answers for itself and goes on to read."""

import asyncio
import os
import resource
import socket
import threading
from pathlib import Path

from understudy import Retry, tool, workflow

ONCE = Retry(attempts=1)
kept: list[object] = []


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
    elif how == "state":
        kept.append("broken")
    return os.getpid()


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
