"""A process that has imported what every command needs. It forks a process for each command line that it is asked for.

``python template.py SOCKET``: a connection brings a command line with its descriptors, and is given the exit status. It
is not a descendant of the process that starts it, and ends with its standard input.
"""

import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

MOST = 1024 * 1024


class Template:
    """Forks a process for each command line."""

    def __init__(self, listener: socket.socket) -> None:
        """Hear of the ends of the forked processes."""
        self._listener = listener
        self._ended, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken)
        self._waiting: dict[int, socket.socket] = {}
        """Connections that wait for an exit code, by process."""

    def serve(self) -> dict[str, Any]:
        """Return the command line in each process that is forked for one. The template itself never returns."""
        while True:
            ready, _, _ = select.select([self._listener, self._ended, sys.stdin], [], [])
            if self._listener in ready and (asked := self._fork()) is not None:
                return asked
            if self._ended in ready:
                self._reap()
            if sys.stdin in ready:
                os._exit(0)

    def _fork(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        text, descriptors, _, _ = socket.recv_fds(connection, MOST, 3)
        child = os.fork()
        if child:
            self._waiting[child] = connection
            connection.send(str(child).encode())
        else:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            for each in (self._listener, connection, *self._waiting.values()):
                each.close()
            descriptors += [self._ended, self._woken]
        for descriptor in descriptors:
            os.close(descriptor)
        return None if child else dict(json.loads(text))

    def _reap(self) -> None:
        os.read(self._ended, 512)
        while self._waiting:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            with self._waiting.pop(child) as connection:
                connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def main() -> None:
    """Serve, and be one of the commands in each process that is forked."""
    if os.fork():
        os._exit(0)
    import apsw  # noqa: F401, PLC0415
    import click  # noqa: F401, PLC0415
    import loguru  # noqa: F401, PLC0415

    import greenroom.cli.app  # noqa: PLC0415
    import greenroom.messages.commands  # noqa: PLC0415
    import greenroom.workflows.queries.reader  # noqa: F401, PLC0415

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(sys.argv[1])
    listener.listen()
    print("ready", flush=True)
    asked = Template(listener).serve()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    script = asked["script"]
    sys.argv[:] = [script or "-m", *asked["arguments"]]
    sys.path[0] = str(Path(script).parent if script else Path.cwd())
    if script:
        runpy.run_path(script, run_name="__main__")
    else:
        runpy.run_module("greenroom", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
