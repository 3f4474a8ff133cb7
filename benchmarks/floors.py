"""What this machine needs for the bare operations that the figures are made of, measured before every round of them."""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw
import psutil

COMMITS = 100
ROUND_TRIPS = 1000
FORKS = 50
STARTS = 5
MESSAGE_BYTES = 512
"""About what a step's frame is long."""


@dataclass(frozen=True)
class Floors:
    """Medians of bare operations.

    Attributes:
        commit_ms: One row, committed by SQLite with a write-ahead log and ``synchronous=FULL``.
        round_trip_ms: 512 bytes to another process over a socket pair, and back.
        fork_ms: Fork a process that exits at once, and reap it.
        fork_uss_mb: Memory of its own that a forked process has before it does anything, in MiB.
        interpreter_ms: CPU time of a Python that starts and ends.
        interpreter_wall_ms: The same by the clock.
    """

    commit_ms: float
    round_trip_ms: float
    fork_ms: float
    fork_uss_mb: float
    interpreter_ms: float
    interpreter_wall_ms: float

    def as_dict(self) -> dict[str, float]:
        """Give the floors by name."""
        return asdict(self)


def measure(directory: Path) -> Floors:
    """Measure all of them once; ``directory`` is empty and lies on the disk in question."""
    cpu, wall = interpreter("pass")
    return Floors(
        commit_ms=commit_ms(directory / "floor.db"),
        round_trip_ms=round_trip_ms(),
        fork_ms=fork_ms(),
        fork_uss_mb=fork_uss_mb(),
        interpreter_ms=cpu,
        interpreter_wall_ms=wall,
    )


def medians(found: Sequence[Floors]) -> Floors:
    """Give the median of each floor."""
    return Floors(**{name: statistics.median(getattr(one, name) for one in found) for name in found[0].as_dict()})


def commit_ms(path: Path) -> float:
    """Commit one row at a time."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.execute("CREATE TABLE facts (body TEXT)")

    def commit() -> None:
        connection.execute("INSERT INTO facts VALUES (?)", ("x" * MESSAGE_BYTES,))

    found = median_ms(commit, COMMITS)
    connection.close()
    return found


def round_trip_ms() -> float:
    """Send a message to a forked process that sends it back."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        while data := theirs.recv(MESSAGE_BYTES):
            theirs.sendall(data)
        os._exit(0)
    theirs.close()
    message = b"x" * MESSAGE_BYTES

    def exchange() -> None:
        ours.sendall(message)
        ours.recv(MESSAGE_BYTES)

    found = median_ms(exchange, ROUND_TRIPS)
    ours.close()
    os.waitpid(child, 0)
    return found


def fork_ms() -> float:
    """Fork and reap."""

    def fork() -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    return median_ms(fork, FORKS)


def fork_uss_mb() -> float:
    """Look at the memory of a forked process that only waits."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    try:
        return uss_mb(child)
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def interpreter(program: str, *arguments: str) -> tuple[float, float]:
    """Run a Python program; give its CPU time and its time by the clock in milliseconds, medians of five."""
    runs = [_run([sys.executable, "-c", program, *arguments]) for _ in range(STARTS)]
    return statistics.median(cpu for cpu, _ in runs), statistics.median(wall for _, wall in runs)


def _run(command: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return (usage.ru_utime + usage.ru_stime) * 1000, (time.perf_counter() - started) * 1000


def uss_mb(pid: int) -> float:
    """Give the memory that would be free if this process ended, in MiB."""
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


def median_ms(action: Callable[[], None], times: int) -> float:
    """Give the median time of an action in milliseconds."""
    spent: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1000
