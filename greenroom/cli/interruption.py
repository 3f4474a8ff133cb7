"""Ctrl+C and SIGTERM, which end a command with a sentence about how to go on.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a finalizer or in a callback of a weak
reference, such as the one of the import system's locks, nobody can catch it: Python reports it to
``sys.unraisablehook`` and goes on. A command would then run on as if no one had pressed Ctrl+C.
"""

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN: Final = 0.005
"""Seconds until an interrupt that nobody could catch is raised again, when the main thread has left the callback."""


@contextmanager
def heard_ends() -> Generator[list[int]]:
    """Have SIGTERM end a command as Ctrl+C does, and lose neither. Does nothing outside the main thread.

    A second SIGTERM ends the process at once. Where these signals are handled already, that stays.

    Yields:
        A list that takes SIGTERM's number when it comes.
    """
    told: list[int] = []

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        told.append(number)
        raise KeyboardInterrupt

    def hook(unraisable: "UnraisableHookArgs", /) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            others(unraisable)

    main = threading.current_thread() is threading.main_thread()
    if not main or any(signal.getsignal(number) != signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGALRM)):
        yield told
        return
    others, sys.unraisablehook = sys.unraisablehook, hook
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    try:
        yield told
    finally:
        sys.unraisablehook = others
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
