"""Keeping this process from being looked into by others of the same user, while an orchestrator is open in it.

The process holds keys that only some of its workers may see, and a tool runs as the same user: it could read them from
``/proc``. The kernel refuses that to a process that is not dumpable; root it refuses nothing. It also refuses debuggers
that attach from outside, and writes no core dump.
"""

import threading
from typing import Final

from greenroom.supervision.kernel import linux

_lock: Final = threading.Lock()
_open = 0  # how many orchestrators are open in this process
_dumpable = True  # what the process was before the first of them


def conceal() -> None:
    """Keep others out from now on. Any thread."""
    global _open, _dumpable  # noqa: PLW0603  a process is dumpable or not as a whole
    with _lock:
        if _open == 0:
            _dumpable = linux.is_dumpable()
            linux.set_dumpable(False)
        _open += 1


def reveal() -> None:
    """Take back one ``conceal``; after the last one the process is as it was before. Any thread."""
    global _open  # noqa: PLW0603  see above
    with _lock:
        _open -= 1
        if _open == 0:
            linux.set_dumpable(_dumpable)
