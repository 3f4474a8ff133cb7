"""The work that all systems do, and the form of their answers. Needs no package."""

import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

SERIAL_STEPS = 200
RUNS, STEPS = 100, 10
BEFORE = 3
"""Steps of each run before the one that is going on at the kill."""


ANSWER = "answer "
"""Begins the line with the measured value. Some systems print lines of their own."""


def crash_once(folder: str) -> float:
    """Kill this process the first time; return the moment of that the second time."""
    mark = Path(folder) / "crashed"
    if not mark.exists():
        mark.write_text(repr(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)
    return float(mark.read_text())


def begin(folder: str, run: object) -> None:
    """Note that a run has come to its long step."""
    with (Path(folder) / "begun").open("a") as file:
        file.write(f"{run}\n")


def answer(value: float) -> None:
    """Print a measured value."""
    print(f"\n{ANSWER}{value!r}", flush=True)


def order() -> tuple[str, str]:
    """Return what to do, ``serial``, ``concurrent``, ``crash``, ``start`` or ``resume``, and the folder to do it in."""
    what, folder = sys.argv[1:]
    return what, folder


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started
