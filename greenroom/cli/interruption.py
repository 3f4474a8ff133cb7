"""Ctrl+C and SIGTERM, which end a command with a sentence about how to go on.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a finalizer or in a callback of a weak
reference, such as the one of the import system's locks, nobody can catch it: Python reports it to
``sys.unraisablehook`` and goes on. A command would then run on as if no one had pressed Ctrl+C.

It would run on, too, where the kernel gives the signal to another thread while the main thread blocks, as it may do
with a process that was stopped (Ctrl+Z, then ``kill %1``): handlers run in the main thread, and nothing wakes it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Never

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN: Final = 0.005
"""Seconds until an interrupt is raised again that nobody could catch, or that did not wake the main thread."""
TOGETHER: Final = 0.2
"""Seconds in which one signal more is the same one: timeout(1) sends it to the process and then to its whole group."""
WAKE: Final = signal.SIGURG
"""Signal that interrupts the main thread's wait, and by itself does nothing."""


def on_first(act: Callable[[int], object]) -> Callable[[int, object], None]:
    """Return a handler that calls ``act`` with the number of a signal once; a later one ends the process at once."""
    heard: set[int] = set()

    def handle(number: int, _frame: object) -> None:
        if number in heard:  # while this function waits below
            return
        heard.add(number)
        time.sleep(TOGETHER)
        signal.signal(number, signal.SIG_DFL)
        act(number)

    return handle


@contextmanager
def heard_ends() -> Generator[list[int]]:
    """Have SIGTERM end a command as Ctrl+C does, and lose neither. Does nothing outside the main thread.

    A later SIGTERM ends the process at once. Where these signals are handled already, that stays.

    Yields:
        A list that takes SIGTERM's number when it comes.
    """
    told: list[int] = []

    def end(number: int) -> Never:
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
    signal.signal(signal.SIGTERM, on_first(end))
    _waker.start()
    try:
        yield told
    finally:
        _waker.stop()
        sys.unraisablehook = others
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)


class Waker:
    """A thread that interrupts the wait of the main thread whenever any thread is given a signal that has a handler.

    Start and stop it in the main thread.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._thread: threading.Thread | None = None
        self._tells = -1
        """End of a pipe into which Python writes the number of each signal that comes; 0 ends the thread."""
        self._wakes = 0
        """How often the main thread was woken."""

    def start(self) -> None:
        """Start the thread."""
        heard, self._tells = os.pipe()
        os.set_blocking(self._tells, False)
        signal.signal(WAKE, self._woken)
        signal.set_wakeup_fd(self._tells, warn_on_full_buffer=False)
        thread = threading.Thread(
            target=self._wake, args=(heard, threading.get_ident()), name="greenroom-signals", daemon=True
        )
        thread.start()
        self._thread = thread  # one that was refused could not be joined

    def stop(self) -> bool:
        """End the thread, and return whether it was running."""
        if self._thread is None:
            return False
        signal.set_wakeup_fd(-1)
        os.write(self._tells, b"\0")
        self._thread.join()
        signal.signal(WAKE, signal.SIG_DFL)  # not before: the thread may be waiting for the main thread to be woken
        os.close(self._tells)
        self._thread = None
        return True

    def _woken(self, _number: int, _frame: object) -> None:
        self._wakes += 1

    def _wake(self, heard: int, main: int) -> None:
        while (number := os.read(heard, 1)[0]) != 0:
            before = self._wakes
            while number != WAKE and self._wakes == before:  # again if it came just before the main thread blocked
                signal.pthread_kill(main, WAKE)
                time.sleep(AGAIN)
        os.close(heard)


_waker: Final = Waker()


def fork() -> int:
    """Fork this process without a thread that is only in one of the two, as ``os.fork`` does otherwise."""
    running = _waker.stop()
    try:
        return os.fork()
    finally:  # in both processes
        if running:
            _waker.start()
