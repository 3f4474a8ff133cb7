"""The ``greenroom`` command, and the one place where errors become messages and exit codes."""

import atexit
import errno
import gc
import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from greenroom.cli.command_group import common
from greenroom.cli.interruption import heard_ends
from greenroom.cli.settings import Settings, typed
from greenroom.cli.verbs import Root
from greenroom.supervision.process import standard_streams
from greenroom.version import VERSION
from greenroom.workflows.home import former_name

NAME = "greenroom"
_NO_THREAD = "can't start new thread"
"""What Python says where the kernel refuses a thread. Its exception has no error number."""
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors of the operating system where a standard stream leads to a full disk, or to a terminal that is gone."""

COMPLETION = f"""\b
Your shell completes verbs and options once it has read one of these, best from its startup file:
  bash: eval "$(_GREENROOM_COMPLETE=bash_source {NAME})"
  zsh:  eval "$(_GREENROOM_COMPLETE=zsh_source {NAME})"
  fish: _GREENROOM_COMPLETE=fish_source {NAME} | source"""


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]}, epilog=COMPLETION)
@click.version_option(VERSION, message="%(prog)s %(version)s")
@common
def root() -> None:
    """Run AI agents as supervised processes: kill any of them, and the run finishes anyway."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Arguments after the command's name; None means those of the process.
    """
    standard_streams.replace_missing()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not fail an answer
    typed[:] = [settings := Settings()]
    former_name.report = _note
    atexit.register(gc.freeze)  # the collections at the end of an interpreter would take a tenth of a second
    try:
        with heard_ends() as told_to_end:
            code = _run(arguments, settings)
    except RuntimeError as error:  # no thread can be started to hear them
        return complain(error)
    if told_to_end:
        from greenroom.cli.exit_codes import INTERRUPTED, TERMINATED

        return TERMINATED if code == INTERRUPTED else code
    return code


def _run(arguments: Sequence[str] | None, settings: Settings) -> int:
    """Run a command, and return its exit code whatever happens."""
    try:
        _refuse_bytes(sys.argv[1:] if arguments is None else arguments)
        code = root.main(args=arguments, prog_name=NAME, standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # The reader has closed the pipe; click raises SystemExit if it was writing itself. Python would complain once
        # more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the one door, which says what it was
        return complain(error)
    return code if isinstance(code, int) else 0


def _sentence(error: BaseException) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, FileNotFoundError):  # of os.getcwd()
        return "the working folder does not exist any more: change to another one"
    if error.errno in _UNWRITABLE:  # errors of other files have their names
        return f"what the command prints cannot be written ({error.strerror}): send it to another place"
    return error.strerror


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Raise ``UsageError`` for an argument that neither a journal nor JSON can hold."""
    from greenroom.cli.inputs import is_utf8

    for argument in arguments:
        if not is_utf8(argument):
            msg = f"the argument {argument!r} holds bytes that are not UTF-8"
            raise click.UsageError(msg)


def _note(sentence: str) -> None:
    from greenroom.cli.display.values import note

    note(sentence)


def complain(error: BaseException) -> int:
    """Print an error for a person, and return its exit code."""
    from greenroom.cli.display.values import note

    code, sentence = failure(error)
    if os.environ.get("GREENROOM_TRACEBACK"):
        sentence = "".join(traceback.format_exception(error)).rstrip()
    note(sentence)
    return code


def failure(error: BaseException) -> tuple[int, str]:
    """Return the exit code of an error, and a sentence for a person that says what to do."""
    if isinstance(error, click.ClickException):
        from greenroom.messages.advice import explain

        context = error.ctx if isinstance(error, click.UsageError) else None
        more = f"\nSee {explain(*context.command_path.split()[1:])}." if context is not None else ""
        return error.exit_code, error.format_message() + more
    from greenroom.cli.display.values import quoted
    from greenroom.cli.exit_codes import EXITS, INTERRUPTED, code_of
    from greenroom.messages.advice import raise_processes
    from greenroom.messages.core.errors import DefinitionError, RemoteTraceback, WorkersUnavailable
    from greenroom.metrics.printable import printable

    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        way = f"end some, or allow more, for instance with {raise_processes('4096')}"
        return code_of(error), (
            "no further thread can be started: memory, or the number of processes and threads that this user may "
            f"have, is used up; {way}"
        )
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return INTERRUPTED, "interrupted"
    if isinstance(error, (DefinitionError, WorkersUnavailable)):  # may quote several lines of an app that cannot load
        return code_of(error), str(error)
    # There are several lines where it quotes an app that cannot be imported.
    first, _, rest = _sentence(error).rstrip().partition("\n")
    said = printable(first) + (quoted(rest) if rest else "")
    if isinstance(error, tuple(EXITS)):
        trace = error.__cause__
        more = quoted(trace.text) if isinstance(trace, RemoteTraceback) else ""
        return code_of(error), (said or type(error).__name__) + more
    return code_of(error), (
        f"an error of {NAME} itself: {type(error).__name__}: {said}\nWith GREENROOM_TRACEBACK=full it shows where."
    )
