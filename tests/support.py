"""What several tests need: waiting for a condition, and a census of processes."""

import time
from collections.abc import Callable
from typing import Any

import psutil


def eventually(condition: Callable[[], Any], deadline: float = 10.0, *, what: str = "") -> Any:
    """Wait until ``condition()`` is true and give what it gave; fail after ``deadline`` seconds.

    For what announces itself in no other way. Where there is an event, a socket or a pidfd to wait on, use that.
    """
    end = time.monotonic() + deadline
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            msg = f"{what or getattr(condition, '__name__', 'the condition')} did not come true within {deadline:g} s"
            raise AssertionError(msg)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def descendants() -> list[psutil.Process]:
    """Give every living process below this one, zombies included: a zombie is a child nobody waited for."""
    return [child for child in psutil.Process().children(recursive=True) if child.is_running()]
