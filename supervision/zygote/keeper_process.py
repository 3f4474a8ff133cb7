"""A keeper as the orchestrator starts it, and the first one, which is started before its app is known.

This module imports little. So an orchestrator can start its first keeper before it imports its own parts, and two
processes import at the same time.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.source_mark import source_mark
from greenroom.supervision.kernel import exec_command, orphans
from greenroom.supervision.policy.worker_environment import are_alike

GRACE: Final = 2.0
"""Seconds that a keeper has to kill its descendants before it is killed itself."""

NO_PYTHON: Final = (
    "the Python of this orchestrator, {}, is no longer there, as after its environment was moved or removed. Start the "
    "orchestrator again with one that is there: nothing is lost, and its runs go on then"
)


@frozen
class Inheritance:
    """What a keeper is started with, and what all processes below it inherit.

    Attributes:
        path: ``sys.path``.
        folder: The working folder; empty if it was removed.
        environ: The environment variables.
        prepare: Function as ``"module:function"`` that the zygote calls before it knows its app; empty for none.
    """

    path: tuple[str, ...]
    folder: str
    environ: Mapping[str, str]
    prepare: str

    @classmethod
    def of(cls, path: Iterable[str], environ: Mapping[str, str], prepare: str) -> Self:
        """Make one of an import path, variables and a function, for the working folder of this moment."""
        try:
            folder = os.getcwd()  # noqa: PTH109  sys.path holds texts
        except FileNotFoundError:  # it was removed
            folder = ""
        return cls(tuple(item or folder for item in path), folder, environ, prepare)

    def is_like(self, other: "Inheritance") -> bool:
        """Return whether an app is imported with the same result, whichever of the two its zygote inherits."""
        return replace(self, environ=other.environ) == other and are_alike(self.environ, other.environ)


def make_lineage(token: str) -> str:
    """Return a new mark for a keeper and all processes below it, from the mark of the generation lock."""
    return f"{token}:{secrets.token_hex(8)}"


@dataclass(eq=False, slots=True)
class KeeperProcess:
    """A running keeper, with the orchestrator's ends of what connects the two. Its owner closes them.

    Attributes:
        lineage: The mark that it carries.
        inheritance: What it was started with.
        popen: The process.
        control: The packet socket to its zygote.
        output: Descriptor of the pipe with its output.
        stack: Descriptor of the pipe to which the import writes its stack.
    """

    lineage: str
    inheritance: Inheritance
    popen: subprocess.Popen[bytes]
    control: socket.socket
    output: int
    stack: int

    @classmethod
    def start(cls, lineage: str, inheritance: Inheritance, lock: int | None) -> Self:
        """Start a keeper. Blocks until the new program runs. Any thread.

        Args:
            lineage: Its mark, see ``make_lineage``.
            inheritance: What it inherits.
            lock: Descriptor of the generation lock; None in tests that need none.

        Raises:
            OSError: The kernel refuses a process or a descriptor.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(control.close)
            theirs.callback(far.close)
            output, output_far = _pipe(ours, theirs)
            stack, stack_far = _pipe(ours, theirs)
            ourselves = os.pidfd_open(os.getpid())
            theirs.callback(os.close, ourselves)
            numbers = [far.fileno(), ourselves, stack_far, -1 if lock is None else lock]
            arguments = [*map(str, numbers), inheritance.prepare]
            if not os.path.exists(sys.executable):  # noqa: PTH110  this module imports little
                raise FileNotFoundError(NO_PYTHON.format(sys.executable))
            popen = subprocess.Popen(  # noqa: S603  our own interpreter and program
                exec_command.command("keeper", lineage, arguments, list(inheritance.path)),
                stdin=subprocess.DEVNULL,
                stdout=output_far,
                stderr=output_far,
                env=_environ(inheritance.environ, lineage),
                pass_fds=[number for number in numbers if number >= 0],
                start_new_session=True,  # the terminal's signals are for the orchestrator
            )
            ours.pop_all()
        return cls(lineage, inheritance, popen, control, output, stack)

    def discard(self) -> None:
        """End a keeper that was given no app. Blocks until it has ended."""
        self.control.close()  # the keeper notices, and kills its zygote
        try:
            self.popen.wait(GRACE)
        except subprocess.TimeoutExpired:  # it is stopped
            self.popen.kill()  # the kernel kills the zygote with it
            self.popen.wait()
        os.close(self.output)
        os.close(self.stack)


class FirstKeeper:
    """A keeper that an orchestrator starts while it opens, before it knows the app. Thread-safe.

    Its zygote imports what all workers need. The first backend whose processes inherit the same takes the keeper over,
    and has to import only the app. A backend that starts when an environment variable, ``sys.path`` or the working
    folder has changed starts a keeper of its own.

    Args:
        token: The mark of the generation lock.
        inheritance: What it inherits.
        lock: Descriptor of the generation lock.
    """

    def __init__(self, token: str, inheritance: Inheritance, lock: int | None) -> None:
        """Start the keeper. If the kernel refuses a process, there is none, and the first backend will tell why."""
        self._inheritance = inheritance
        self._changing = threading.Lock()
        self._process: KeeperProcess | None = None
        """The keeper; None once it is taken over or ended."""
        with contextlib.suppress(OSError):
            self._process = KeeperProcess.start(make_lineage(token), inheritance, lock)
        source_mark()  # of the code that this process has imported, before it can change on disk

    def take(self, inheritance: Inheritance) -> KeeperProcess | None:
        """Give the keeper to the caller; return None if it is not there, or inherits something else."""
        if not inheritance.is_like(self._inheritance):
            return None
        with self._changing:
            process, self._process = self._process, None
        return process

    def close(self) -> None:
        """End the keeper, unless a backend has taken it over. Blocks until it has ended."""
        unused = self.take(self._inheritance)
        if unused is not None:
            unused.discard()


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    return reading, writing


def _environ(shared: Mapping[str, str], lineage: str) -> dict[str, str]:
    environ = dict(shared)
    environ.setdefault("MALLOC_ARENA_MAX", "2")  # each arena of glibc's counts against a worker's memory limit
    environ["PYTHONHASHSEED"] = "0"  # a replay in any process must iterate over a set of strings in the same order
    environ[orphans.VARIABLE] = lineage
    return environ
