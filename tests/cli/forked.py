"""Command lines in processes of their own that need not import anything first: they are forked from one that has.

A suite types hundreds of command lines, each of which would import for a third of a second. What is imported is the
same, and so is all that a command line does. ``CommandLine.start`` starts a new interpreter.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from tests.support import ROOT

SETTINGS = ("PYTHON", "LC_", "LANG")
"""Beginnings of variables that an interpreter reads when it starts."""


class Template:
    """The process that command lines are forked from."""

    def __init__(self) -> None:
        """Start it, and wait until it has imported all."""
        self._folder = TemporaryDirectory()
        self._place = f"{self._folder.name}/socket"
        self._settings = settings_of(os.environ)
        with subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("template.py")), self._place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # like those of the commands: an interpreter notes that it cannot go back in a pipe
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == b"ready\n"
            self._end = os.dup(process.stdin.fileno())  # it ends once nothing can come any more

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return whether an interpreter with this environment would begin as this one did."""
        return settings_of(environment) == self._settings

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        *,
        script: Path | None = None,
        given: str = "",
        timeout: float = 60,
    ) -> "Answer":
        """Run ``python -m greenroom`` in a folder, or a script, with arguments to its end."""
        asked = {
            "arguments": arguments,
            "script": script and str(script),
            "folder": str(folder),
            "environment": environment,
        }
        with Command(self._place) as command:
            return command.run(json.dumps(asked), given, timeout)

    def close(self) -> None:
        """End it."""
        os.close(self._end)
        self._folder.cleanup()


def settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if name.startswith(SETTINGS)}
    return {name: value for name, value in found.items() if name != "PYTHONPATH" or value not in {"", str(ROOT)}}


@dataclass(frozen=True)
class Answer:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str


class Command:
    """One command line, whose output is read while it runs."""

    def __init__(self, place: str) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(place)

    def run(self, asked: str, given: str, timeout: float) -> Answer:
        pipes = [os.pipe() for _ in range(3)]
        (child_in, give), (out, child_out), (err, child_err) = pipes
        socket.send_fds(self._connection, [asked.encode()], [child_in, child_out, child_err])
        for each in (child_in, child_out, child_err):
            os.close(each)
        texts: dict[str, bytes] = {}
        threads = [
            threading.Thread(target=_write, args=(give, given.encode())),
            threading.Thread(target=_read, args=(out, texts, "out")),
            threading.Thread(target=_read, args=(err, texts, "err")),
        ]
        for thread in threads:
            thread.start()
        self._connection.settimeout(timeout)
        pid = int(self._connection.recv(64))
        try:
            code = int(self._connection.recv(64))
        except TimeoutError:
            os.kill(pid, 9)
            raise
        finally:
            for thread in threads:
                thread.join(timeout)
        assert not any(thread.is_alive() for thread in threads), "what the command has started holds its output open"
        return Answer(code, texts["out"].decode(), texts["err"].decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _write(descriptor: int, text: bytes) -> None:
    with open(descriptor, "wb") as file:
        try:
            file.write(text)
            file.flush()
        except BrokenPipeError:  # it did not read all
            pass


def _read(descriptor: int, texts: dict[str, bytes], name: str) -> None:
    with open(descriptor, "rb") as file:
        texts[name] = file.read()
