"""An orchestrator in a process of its own, which may be killed at any moment and started again on the same journal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click
import psutil

from greenroom.cli.command_group import Imports
from greenroom.cli.hosting.log_file import log_to_home, open_output
from greenroom.cli.hosting.own_command import own_environment
from greenroom.workflows.home.home import Home

if TYPE_CHECKING:
    from greenroom.messages.commands import Command, Reply

POLL: Final = 0.02
"""Seconds between two looks at what other processes have done."""
START_TIMEOUT: Final = 60.0
"""Seconds that the orchestrator may take until it takes commands."""
CLOSE_TIMEOUT: Final = 60.0
"""Seconds that it may take to end."""
GONE_TIMEOUT: Final = 10.0
"""Seconds after its end in which everything that it had started has to be gone."""
RESTARTS: Final = 1_000_000
"""Restarts that a pool is allowed: here a worker that died is no sign of a broken machine."""


class OrchestratorProcess:
    """Starts, kills and asks the orchestrator of a home, which lives in a process below this one.

    Use it as a context manager. An orchestrator that is not closed at the end is killed.

    Args:
        home: Its home.
        imports: How it imports apps.
    """

    def __init__(self, home: Home, imports: Imports) -> None:
        """Start nothing yet."""
        self._home = home
        pairs = [item.partition("=") for item in imports.env]
        self._names = [name for name, _, _ in pairs]
        self._values = {name: value for name, equals, value in pairs if equals}  # no other process may read them
        self._import_timeout = imports.timeout
        self._process: subprocess.Popen[bytes] | None = None  # None before the start and after the end
        self._below: dict[tuple[int, float], psutil.Process] = {}

    def __enter__(self) -> Self:
        """Start the orchestrator."""
        try:
            self.start()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the orchestrator, unless it was closed."""
        self._kill()

    @property
    def pid(self) -> int:
        """The present pid."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it takes commands.

        Raises:
            ClickException: It ended at once, or took too long. Its log is named.
        """
        from greenroom.workflows.control.access import contact

        log = open_output(self._home)
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                [sys.executable, "-m", __name__, str(self._home.path), json.dumps([self._names, self._import_timeout])],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=own_environment() | self._values,
                start_new_session=True,  # Ctrl+C is for the command, which ends it
            )
        finally:
            os.close(log)
        deadline = time.monotonic() + START_TIMEOUT
        while not contact.is_open(self._home):
            self.check()
            if time.monotonic() > deadline:
                msg = f"the orchestrator takes no commands after {START_TIMEOUT:g} s; see {self._log}"
                raise click.ClickException(msg)
            time.sleep(POLL)

    def check(self) -> None:
        """Look whether it lives.

        Raises:
            ClickException: It has ended, although nobody has killed it.
        """
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            msg = f"the orchestrator has ended by itself with exit code {code}; see {self._log}"
            raise click.ClickException(msg)

    @property
    def _log(self) -> Path:
        return self._home.path / "orchestrator.log"

    def ask(self, command: "Command") -> "Reply":
        """Send a command, and return its reply; see ``check`` of refusals for the errors."""
        from greenroom.messages.refusals import check
        from greenroom.workflows.control.access.control_socket import ask

        return check(ask(self._home, command))

    def below(self) -> list[psutil.Process]:
        """Return all processes below it, and remember them; see ``leftovers``."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for process in found:
            self._below[process.pid, process.create_time()] = process
        return found

    def crash(self) -> None:
        """Kill it, and start it again."""
        self.below()
        self._kill()
        self.start()

    def close(self) -> None:
        """Have it end by itself, and wait for that.

        Raises:
            ClickException: It did not end in time, or not with exit code 0.
        """
        self.check()
        self.below()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            code = process.wait(CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            msg = f"the orchestrator has not ended within {CLOSE_TIMEOUT:g} s; see {self._log}"
            raise click.ClickException(msg) from None
        self._process = None
        if code:
            msg = f"the orchestrator ended with exit code {code}; see {self._log}"
            raise click.ClickException(msg)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def leftovers(self) -> list[str]:
        """Return sentences about the processes that ``below`` has seen and that are still there after its end."""
        return [f"process {process.pid} is left" for process in still_there(self._below.values(), GONE_TIMEOUT)]


def still_there(processes: Collection[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait until processes have ended. Return those that have not after a number of seconds.

    A zombie has ended. Orphans of a killed orchestrator are reaped by the first process of the machine or container,
    and not every one does that.
    """
    deadline = time.monotonic() + timeout
    while (living := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(POLL)
    return living


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main(place: str, names: list[str], import_timeout: float | None) -> None:
    """Be the orchestrator of a home until standard input is closed, as it is when the other end has died.

    Args:
        place: The home.
        names: Environment variables for the app besides those that it inherits.
        import_timeout: Seconds that an app may take to be imported; None for the default.
    """
    from greenroom import Orchestrator, Pool

    log_to_home(Home(Path(place)), secrets=[os.environ[name] for name in names if name in os.environ])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pools = {kind: Pool(max_restarts=RESTARTS) for kind in ("program", "tool", "llm", "evaluator")}
    with Orchestrator(home=place, output=False, pools=pools, env=names, import_timeout=import_timeout):
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1], *json.loads(sys.argv[2]))
