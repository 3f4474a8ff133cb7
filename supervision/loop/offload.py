"""Threads for what takes long on the way of a message, so that the loop does not wait for it.

There are few of them, whatever comes in at once: each works on as much as a message may hold. They are there while
there is work, and nobody has to end them.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

THREADS: Final = 2
"""Most that work at once."""

_lock = threading.Lock()
"""Held for the moments in which work and workers are counted."""
_waiting: deque[Callable[[], None]] = deque()
_working: set[threading.Thread] = set()


def run(work: Callable[[], None]) -> None:
    """Have ``work``, which must not raise, done in another thread. It begins in order of calling. Any thread.

    Where the system gives this process no thread, the caller works.
    """
    with _lock:
        _waiting.append(work)
        if len(_working) >= THREADS:
            return
        thread = threading.Thread(target=_work, name="greenroom-aside", daemon=True)
        _working.add(thread)
    try:
        thread.start()
    except RuntimeError:
        _work(thread)


def _work(thread: threading.Thread | None = None) -> None:
    """Work until nothing waits. ``thread`` is the one in whose place the caller works."""
    thread = thread or threading.current_thread()
    while True:
        with _lock:
            if not _waiting:
                _working.discard(thread)
                return
            work = _waiting.popleft()
        work()
