"""The keeper: parent of a zygote, which ensures that no process outlives the zygote or the orchestrator.

It is the first process that a backend starts. It forks the zygote before importing much, adopts orphans below it, and
then only waits. When the orchestrator or the zygote dies, or their control socket ends, it kills all its descendants
and ends. So workers of a stopped zygote end with the orchestrator, and daemonised grandchildren end with the zygote.
The zygote in turn ends its descendants when the keeper dies or the control socket ends. So the processes also end if
the keeper is killed or stopped.

The arguments are the lineage mark, the numbers of four descriptors, and the function that the zygote calls before it
knows its app. The descriptors are the control socket, the orchestrator's pidfd, the pipe for the stack of the import,
and the generation lock (-1 if there is none). The mark can be found in ``/proc`` (see ``kernel/orphans.py``).
"""

import contextlib
import gc
import os
import select
import signal
import sys
from typing import Final, NoReturn

from greenroom.supervision.kernel import linux

NAME: Final = "greenroom-keep"
"""Name of the process for tools such as ``ps``. The kernel keeps 15 characters."""


def main() -> NoReturn:
    """Fork the zygote, wait for the end of the zygote, the orchestrator or their socket, then kill all descendants."""
    control, orchestrator, stack, lock = (int(argument) for argument in sys.argv[2:6])
    linux.catch_and_ignore(signal.SIGINT)
    linux.adopt_orphans()
    linux.set_dumpable(False)
    for descriptor in (control, stack):
        os.set_inheritable(descriptor, False)  # noqa: FBT003  the standard library's own flag
    keeper = os.getpid()
    ourselves = os.pidfd_open(keeper)
    zygote = os.fork()
    if zygote == 0:
        linux.die_with_parent(keeper)
        os.close(orchestrator)
        gc.disable()  # nothing of what is imported from here on is garbage
        from greenroom.supervision.zygote.fork_server import serve  # noqa: PLC0415  the keeper stays small

        serve(control, ourselves, lock, stack, sys.argv[6])
    os.close(stack)
    linux.set_name(NAME)
    watched = select.poll()
    watched.register(control, 0)  # the zygote reads the packets; only the end of the socket is reported here
    for descriptor in (orchestrator, os.pidfd_open(zygote)):
        watched.register(descriptor, select.POLLIN)
    watched.poll()
    status = linux.end_descendants().get(zygote, 0)
    with contextlib.suppress(OSError):  # the orchestrator may be gone
        os.write(control, b'{"type":"zygote_ended","status":%d}' % status)
    os._exit(0)
