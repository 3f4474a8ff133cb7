"""The descriptors 0 to 2, which a process may be started without, as with ``>&-`` in a shell or by some daemons.

The kernel gives the lowest free number to the next file that is opened. That may be a lock or the journal, and whatever
writes to "stderr", such as a C library or a child process, would then write into it.
"""

import os
import sys
from typing import Final

LAST: Final = 2
"""Number of stderr."""


def occupy() -> None:
    """Open ``/dev/null`` as each of the three that is closed. Called before anything else is opened."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= LAST:
        os.set_inheritable(descriptor, True)  # noqa: FBT003  the standard library's own flag
    os.close(descriptor)


def replace_missing() -> None:
    """Do as ``occupy``, and give this process streams that write to nowhere in place of the missing ones.

    For programs of our own. Python has None for such a stream, which is for its owner to notice.
    """
    occupy()
    if sys.stdin is None:
        sys.stdin = os.fdopen(0)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(LAST, "w")
