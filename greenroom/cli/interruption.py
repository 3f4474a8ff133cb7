"""Ctrl+C and SIGTERM, which end a command with a sentence about how to go on.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a finalizer or in a callback of a weak
reference, such as the one of the import system's locks, nobody can catch it: Python reports it to
``sys.unraisablehook`` and goes on. A command would then run on as if no one had pressed Ctrl+C.

It would run on, too, where the kernel gives the signal to another thread while the main thread blocks, as it may do
with a process that was stopped (Ctrl+Z, then ``kill %1``): handlers run in the main thread, and nothing wakes it.
"""

import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN: Final = 0.005
"""Seconds until an interrupt is raised again that nobody could catch, or that did not wake the main thread."""
WAKE: Final = signal.SIGURG
"""Signal that interrupts the main thread's wait, and by itself does nothing."""


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
        with _main_thread_woken():
            yield told
    finally:
        sys.unraisablehook = others
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _main_thread_woken() -> Generator[None]:
    """Interrupt the wait of the main thread whenever any thread is given a signal that has a handler."""
    main = threading.get_ident()
    heard, tells = socket.socketpair()
    tells.settimeout(0)
    wakes: list[int] = []

    def wake() -> None:
        while number := heard.recv(1):
            before = len(wakes)
            while number[0] != WAKE and len(wakes) == before:  # again if it came just before the main thread blocked
                signal.pthread_kill(main, WAKE)
                time.sleep(AGAIN)

    waker = threading.Thread(target=wake, name="greenroom-signals", daemon=True)
    handled = signal.signal(WAKE, lambda number, _frame: wakes.append(number))
    former = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    waker.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        tells.close()
        waker.join()
        signal.signal(WAKE, handled)
        heard.close()
