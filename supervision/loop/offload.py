"""Worker threads for long steps in the handling of a message, so that the loop is not blocked.

Their number is small, because each may need the memory of the longest message. They end by themselves when there is no
work.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

THREADS: Final = 2
"""Most threads at once."""

_lock = threading.Lock()
"""Guards the queue and the number of threads."""
_waiting: deque[Callable[[], None]] = deque()
_working: set[threading.Thread] = set()


def run(work: Callable[[], None]) -> None:
    """Call ``work``, which must not raise, in another thread. Calls begin in order of submission. Thread-safe.

    If the system refuses a new thread, the work is done in the calling thread.
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
    """Work until the queue is empty. ``thread`` is the thread that could not be started, if the caller works."""
    thread = thread or threading.current_thread()
    while True:
        with _lock:
            if not _waiting:
                _working.discard(thread)
                return
            work = _waiting.popleft()
        work()
