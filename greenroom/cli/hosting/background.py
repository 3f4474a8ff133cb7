"""Running an orchestrator in a background process that outlives the command line."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from greenroom.cli.display.values import note
from greenroom.cli.hosting.log_file import open_output
from greenroom.cli.interruption import fork
from greenroom.messages.core.errors import HomeInUse

if TYPE_CHECKING:
    from greenroom.workflows.home.home import Home


class NotStarted(click.ClickException):
    """The background process could not start the run; has its message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        """Keep its message and exit code."""
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a default for all of the class


def host_in_background(home: "Home", host: Callable[[Callable[[list[str]], None]], int]) -> list[str]:
    """Fork a process that runs ``host``, and return the ids of its runs once they are committed.

    This process must not have started any thread. The child leads a session of its own, so that it receives neither the
    terminal's Ctrl+C nor its hang-up; its output goes to ``orchestrator.log`` in the home.

    Args:
        home: The home, whose log is written.
        host: Runs an orchestrator until its runs are done; called with the function to report their ids with.

    Raises:
        HomeInUse: Another orchestrator was started first.
        KeyboardInterrupt: Ctrl+C came before the runs were known to be committed; the background process has ended.
        JournalError: The log cannot be written.
        NotStarted: The background process ended before the run was committed, with the same message and exit code.
    """
    home.create()
    log = open_output(home)
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = fork()
    if not child:
        os.close(ours)
        os._exit(_run_and_report(host, theirs, log))
    os.close(log)
    os.close(theirs)
    try:
        with os.fdopen(ours, encoding="utf-8") as pipe:
            said = pipe.readline()
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)  # which ends it as Ctrl+C ends an orchestrator in the foreground
        os.waitpid(child, 0)
        raise
    report: dict[str, Any] = json.loads(said) if said else {}
    if "run_ids" not in report:
        died = f"the process in the background died before the run was durable; see {home.path / 'orchestrator.log'}"
        if report.get("in_use"):
            raise HomeInUse(report["error"])
        raise NotStarted(str(report.get("error", died)), int(report.get("code", 1)))
    return list(report["run_ids"])


def _become_background(log: int) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, standard in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, standard)
    os.close(null)
    os.close(log)


def _run_and_report(host: Callable[[Callable[[list[str]], None]], int], pipe: int, log: int) -> int:
    """Run ``host`` in the background and report through the pipe how it started; return the exit code."""
    from greenroom.cli.app import failure

    def report(**facts: object) -> None:
        with suppress(OSError):  # closed after the first report, or by an interrupted parent
            os.write(pipe, json.dumps(facts).encode() + b"\n")
            os.close(pipe)

    try:
        _become_background(log)
        return host(lambda run_ids: report(run_ids=run_ids))
    except BaseException as error:  # noqa: BLE001  the last frame of this process
        code, sentence = failure(error)
        report(error=sentence, code=code, in_use=isinstance(error, HomeInUse))
        note(sentence)
        return code
