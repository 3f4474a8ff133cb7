"""Floors: the times of the bare operations of the figures on this machine, measured before every round."""

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
"""Approximate length of a step's frame."""


@dataclass(frozen=True)
class Floors:
    """Medians of bare operations.

    Attributes:
        commit_ms: One row, committed by SQLite with a write-ahead log and ``synchronous=FULL``.
        round_trip_ms: 512 bytes to another process over a socket pair, and back.
        fork_ms: Fork a process that exits at once, and reap it.
        fork_uss_mb: Private memory of a forked process that has done nothing, in MiB.
        interpreter_ms: CPU time of a Python process that starts and ends.
        interpreter_wall_ms: Wall-clock time of the same process.
    """

    commit_ms: float
    round_trip_ms: float
    fork_ms: float
    fork_uss_mb: float
    interpreter_ms: float
    interpreter_wall_ms: float

    def as_dict(self) -> dict[str, float]:
        """Return the floors by name."""
        return asdict(self)


def measure(directory: Path) -> Floors:
    """Measure all floors once. ``directory`` is empty and on the disk to be measured."""
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
    """Return the median of each floor."""
    return Floors(**{name: statistics.median(getattr(one, name) for one in found) for name in found[0].as_dict()})


def commit_ms(path: Path) -> float:
    """Return the median time in milliseconds of the commit of one row."""
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
    """Return the median time in milliseconds of a message to a forked process and back."""
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
    """Return the median time in milliseconds of a fork and the reaping of the child."""

    def fork() -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    return median_ms(fork, FORKS)


def fork_uss_mb() -> float:
    """Return the private memory in MiB of a forked process that only waits."""
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
    """Run a Python program five times. Return the medians of its CPU time and wall-clock time in milliseconds."""
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
    """Return the memory in MiB that would be freed if the process ended."""
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


def median_ms(action: Callable[[], None], times: int) -> float:
    """Return the median time of an action in milliseconds."""
    spent: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1000
