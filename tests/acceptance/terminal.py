"""A person at a terminal: a shell in a real pseudo-terminal of 80 columns, what is typed there, and what it shows."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COLUMNS = 80
PROMPT = "ready> "
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_DONE = re.compile(rf"\[(\d+)\] {re.escape(PROMPT)}$")


@dataclass(frozen=True)
class Screen:
    """What a command has shown."""

    text: str
    code: int

    def __contains__(self, words: str) -> bool:
        return words in self.text

    @property
    def flowing(self) -> str:
        """The text as one line, for sentences that a table or the terminal has broken."""
        return " ".join(self.text.split())

    @property
    def width(self) -> int:
        return max((len(line) for line in self.text.splitlines()), default=0)


class Terminal:
    """Bash in a pseudo-terminal. ``greenroom`` and ``python`` are this checkout's."""

    def __init__(self, folder: Path, programs: Path) -> None:
        programs.mkdir()
        for name, words in (("greenroom", "-m greenroom"), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (programs / name).chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM")}
        environment |= {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PS1": f"[$?] {PROMPT}",
            "TERM": "xterm-256color",
        }
        environment.pop("COLUMNS", None)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        off = termios.tcgetattr(slave)
        off[3] &= ~termios.ECHO  # what is typed would be read again
        termios.tcsetattr(slave, termios.TCSANOW, off)
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  this process has no threads yet
        )
        os.close(slave)
        self._read = ""
        self._finish(30)

    def type(self, line: str, code: int = 0, timeout: float = 60) -> Screen:
        """Type a line, wait for the prompt, and give what was shown; ``code`` is the exit code that is expected."""
        self.begin(line)
        screen = self._finish(timeout)
        assert screen.code == code, (line, screen)
        assert "Traceback" not in screen or code == 1, (line, screen)
        return screen

    def begin(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, line.encode() + b"\n")

    def interrupt(self, timeout: float = 60) -> Screen:
        """Press Ctrl+C, and wait for the prompt."""
        os.write(self._master, b"\x03")
        return self._finish(timeout)

    def shows(self, words: str, timeout: float = 60) -> None:
        """Wait until what is shown holds some words."""
        end = time.monotonic() + timeout
        while words not in _plain(self._read):
            self._take(end, words)

    def _finish(self, timeout: float) -> Screen:
        end = time.monotonic() + timeout
        while (done := _DONE.search(_plain(self._read))) is None:
            self._take(end, "the prompt")
        text, self._read = _plain(self._read)[: done.start()], ""
        return Screen(text, int(done[1]))

    def _take(self, end: float, what: str) -> None:
        ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"{what} did not come: {_plain(self._read)}"
        self._read += os.read(self._master, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        """Hang up."""
        os.killpg(self._shell.pid, signal.SIGHUP)
        os.close(self._master)
        self._shell.wait(10)


def _plain(text: str) -> str:
    return _ESCAPES.sub("", text).replace("\r\n", "\n")
