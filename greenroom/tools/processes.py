"""Running a program to its end, with a bound on what it may print."""

import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Final

from pydantic import BaseModel

_PIECE: Final = 64 * 1024


class CommandResult(BaseModel):
    """What a program printed, and how it ended.

    Attributes:
        exit_code: Exit code; 0 means success. Minus the number of the signal if a signal ended it.
        stdout: Beginning of what it printed, as text.
        stderr: Beginning of its error output, as text.
        truncated: Whether it printed more.
        ended_by: Name of the signal that ended it, such as ``"SIGKILL"``; empty if it exited.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    ended_by: str = ""


def run_program(
    command: Sequence[str], *, most_bytes: int, environ: Mapping[str, str] | None = None, folder: str | None = None
) -> CommandResult:
    """Run a program until it exits. Blocks.

    Its input is empty. What it prints beyond ``most_bytes``, of either kind, is read and dropped. Processes that it
    leaves behind are not waited for; the tool's worker kills them.

    Raises:
        OSError: It cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603  the author of the app allows the program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=folder
    )
    assert process.stdout is not None and process.stderr is not None  # noqa: PT018  both are pipes
    ended = os.pidfd_open(process.pid)
    try:
        outputs = [_Output(process.stdout, most_bytes), _Output(process.stderr, most_bytes)]
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            for output in outputs:
                selector.register(output.pipe, selectors.EVENT_READ, output)
            alive = True
            while alive:
                for key, _ in selector.select():
                    if key.fd == ended:
                        alive = False
                    elif not key.data.read():
                        selector.unregister(key.fileobj)
        for output in outputs:
            output.drain()
    finally:
        os.close(ended)
        process.stdout.close()
        process.stderr.close()
        code = process.poll()
        if code is None:
            process.kill()
            code = process.wait()
    stdout, stderr = outputs
    return CommandResult(
        exit_code=code,
        stdout=stdout.text(),
        stderr=stderr.text(),
        truncated=stdout.dropped or stderr.dropped,
        ended_by=signal.Signals(-code).name if code < 0 else "",
    )


class _Output:
    """What was read from one pipe."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self.pipe = pipe
        self.dropped = False
        self._most = most
        self._kept = bytearray()
        os.set_blocking(pipe.fileno(), False)

    def read(self) -> bool:
        """Read what is there; return whether more may come."""
        try:
            piece = os.read(self.pipe.fileno(), _PIECE)
        except BlockingIOError:
            return True
        room = self._most - len(self._kept)
        self._kept += piece[:room]
        self.dropped = self.dropped or len(piece) > room
        return bool(piece)

    def drain(self) -> None:
        """Read what was printed before the program ended. Another process may go on printing."""
        end = self._most + _PIECE
        while end > 0:
            try:
                piece = os.read(self.pipe.fileno(), _PIECE)
            except BlockingIOError:
                return
            if not piece:
                return
            end -= len(piece)
            room = self._most - len(self._kept)
            self._kept += piece[:room]
            self.dropped = self.dropped or len(piece) > room

    def text(self) -> str:
        return self._kept.decode(errors="replace")
