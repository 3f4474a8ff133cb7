"""The keeper: parent of a zygote, there to make sure that nothing outlives the zygote or the orchestrator.

It is the first process a backend starts. It forks the zygote before either has imported anything of weight, adopts
whatever loses its parent below it, and then only waits. When the orchestrator or the zygote dies, or the control socket
between them ends, it kills all that is left under it and ends. So a stopped zygote cannot save its workers from the
orchestrator's death, and a killed zygote cannot set a daemonised grandchild free. The zygote in turn ends everything
below itself when the keeper dies or the control socket ends, so a killed or a stopped keeper is no gap either.

Argument list: the lineage mark, then the numbers of the control socket, the orchestrator's pidfd, the pipe on which an
import says where it stands, and the generation lock (-1 where there is none). The lineage stands there to be found in
``/proc`` (see ``orphans``).
"""

import contextlib
import os
import select
import signal
import sys
from typing import NoReturn

from greenroom.supervision.kernel import linux


def main() -> NoReturn:
    """Fork the zygote, wait for an end, kill what is left."""
    control, orchestrator, stack, lock = (int(argument) for argument in sys.argv[2:6])
    linux.shrug_off(signal.SIGINT)
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
        from greenroom.supervision.zygote.fork_server import serve  # noqa: PLC0415  the keeper stays small

        serve(control, ourselves, lock, stack)
    os.close(stack)
    linux.set_name("greenroom-keep")
    watched = select.poll()
    watched.register(control, 0)  # packets are the zygote's to read; this is told of the socket's end alone
    for descriptor in (orchestrator, os.pidfd_open(zygote)):
        watched.register(descriptor, select.POLLIN)
    watched.poll()
    status = linux.end_descendants().get(zygote, 0)
    with contextlib.suppress(OSError):  # the orchestrator may be gone: then nobody needs to know
        os.write(control, b'{"type":"zygote_ended","status":%d}' % status)
    os._exit(0)
