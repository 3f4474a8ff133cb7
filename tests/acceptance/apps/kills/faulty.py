"""One tool that misbehaves on its first attempt in a way of the caller's choice, and healthy ones beside it."""

import ctypes
import os
import re
import signal
import time
from pathlib import Path

import psutil

from greenroom import Retry, tool, workflow

QUICK = Retry(attempts=4, initial=0.05, jitter=0.0)


def exit_three(_folder: Path) -> None:
    os._exit(3)


def segfault(_folder: Path) -> None:
    ctypes.string_at(0)


def kill_itself(_folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself(_folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def hold_the_gil(_folder: Path) -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def eat_memory(_folder: Path) -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def daemonise(folder: Path) -> None:
    """Leave a process behind the way daemons do: fork, new session, fork again, nothing of the parent kept open."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            (folder / "daemon.tmp").write_text(str(os.getpid()))
            (folder / "daemon.tmp").rename(folder / "daemon")
            while True:
                time.sleep(3600)
        os._exit(0)
    while not (folder / "daemon").exists():
        time.sleep(0.002)


def daemonise_and_die(folder: Path) -> None:
    daemonise(folder)
    os._exit(3)


FAULTS = {
    fault.__name__: fault
    for fault in (
        exit_three,
        segfault,
        kill_itself,
        stop_itself,
        hold_the_gil,
        eat_memory,
        daemonise,
        daemonise_and_die,
    )
}


def daemon_lives(folder: Path) -> bool:
    marker = folder / "daemon"
    return marker.exists() and psutil.pid_exists(int(marker.read_text()))


@tool(timeout=2.0, retry=QUICK)
def misbehave(fault: str, folder: str) -> str:
    """Do it once; on every later attempt say whether a daemon of the first one still lives."""
    marker = Path(folder, "done-it")
    if not marker.exists():
        marker.touch()
        FAULTS[fault](Path(folder))
        return "survived"
    return "daemon lives" if daemon_lives(Path(folder)) else "recovered"


@tool(timeout=600.0, retry=QUICK)
def stop_without_deadline(folder: str) -> str:
    """Stop, with a deadline far away: only the missing heartbeat can tell."""
    marker = Path(folder, "done-it")
    if not marker.exists():
        marker.touch()
        stop_itself(Path(folder))
    return "recovered"


@tool(retry=QUICK)
def look_for_daemon(folder: str) -> bool:
    return daemon_lives(Path(folder))


@tool(retry=QUICK)
def square(number: int) -> int:
    time.sleep(0.01)
    return number * number


@workflow
async def faulty(fault: str, folder: str) -> tuple[str, bool]:
    """Misbehave in one step and look in the next what it left."""
    how = await (stop_without_deadline(folder) if fault == "stop_itself" else misbehave(fault, folder))
    return how, await look_for_daemon(folder)


@workflow
async def healthy(number: int) -> int:
    """Square a number, one step after the other."""
    total = 0
    for item in range(number, number + 4):
        total += await square(item)
    return total
