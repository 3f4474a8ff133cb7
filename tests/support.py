"""What several tests need: waiting for a condition, a census of processes, and a look into their memory."""

import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout."""


def eventually(condition: Callable[[], Any], deadline: float = 10.0, *, what: str = "") -> Any:
    """Wait until ``condition()`` is true and give what it gave; fail after ``deadline`` seconds.

    For what announces itself in no other way. Where there is an event, a socket or a pidfd to wait on, use that.
    A condition that asks for an item of a list which is not there yet, such as a step's first attempt, is not true.
    """
    end = time.monotonic() + deadline
    pause = 0.001
    while True:
        try:
            value = condition()
        except IndexError:
            value = None
        if value:
            return value
        if time.monotonic() >= end:
            msg = f"{what or getattr(condition, '__name__', 'the condition')} did not come true within {deadline:g} s"
            raise AssertionError(msg)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


SHARED: set[int] = set()
"""Processes that several tests use, such as a browser. They and what they start are no test's to end."""


def descendants() -> list[psutil.Process]:
    """Give every living process below this one, zombies included: a zombie is a child nobody waited for."""
    children = [child for child in psutil.Process().children() if child.pid not in SHARED]
    return [each for child in children for each in (child, *below(child)) if each.is_running()]


def below(process: psutil.Process) -> list[psutil.Process]:
    """Give every process below another; none if it has ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def is_in_memory(pid: int, needle: bytes) -> bool:
    """Say whether a process has these bytes in any of its readable mappings. For root, or the user it belongs to.

    That they are nowhere means something only beside others that were found by the same means: look first for what the
    process is known to have.
    """
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            bounds, mode, *_ = line.split()
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if mode.startswith("r") and _is_found(memory, start, end, needle):
                return True
    return False


def _is_found(memory: FileIO, start: int, end: int, needle: bytes) -> bool:
    """Look at one mapping, in pieces, with what may be the beginning of the needle kept from one to the next."""
    before, place = b"", start
    while place < end:
        try:
            memory.seek(place)
            data = memory.read(min(end - place, 16 * 1024 * 1024))
        except (OSError, OverflowError):  # the kernel's own page, or a device's: there is no memory behind it
            return False
        if not data:
            return False
        if needle in before + data:
            return True
        before, place = data[1 - len(needle) :], place + len(data)
    return False
