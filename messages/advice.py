"""Every command that the package advises people to type, in one place, so that tests can run them all.

A command is written ```` `greenroom runs resume r` ````, without the options for a home or journal. The code that
records a text does not know in which folder it will be read. The code that shows the text adds the options
(``placed``), so that it can be typed as it is read. A word in capitals stands for something that only the reader knows.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from greenroom.messages.core.former_name import FORMER

PROGRAM: Final = "greenroom"
BEGINNING: Final = f"`{PROGRAM} "
"""Beginning of a command in a text."""

F = TypeVar("F", bound=Callable[..., str])

ADVICE: Final[dict[str, Callable[..., str]]] = {}
"""All advice, by the name of the function that makes it. A test runs every command."""

_COMMAND: Final = re.compile(
    rf"`(?:{PROGRAM}|{FORMER}) (?P<words>[a-z][^`]*?)(?P<options>(?: --(?:home|journal) (?:[^\s'`]|'[^']*')+)*)`"
)
"""A command, with the options that lead to its home or journal. Older journals hold the program's former name."""
_ELSEWHERE: Final = re.compile(r"db \S+ .+|.+ --help")
"""Commands that are the same for every home: they name a file, or have no effect."""


def _advice(function: F) -> F:
    ADVICE[function.__name__] = function
    return function


def _command(*words: str) -> str:
    """Return a command, quoted for a shell."""
    return "`" + shlex.join(words) + "`"


def advises(text: str) -> bool:
    """Return whether a text holds a command of ours, under the present or the former name."""
    return BEGINNING in text or f"`{FORMER} " in text


def placed(text: str, options: Sequence[str], *, program: str = PROGRAM, anew: bool = False) -> str:
    """Return a text with its commands completed, so that they can be typed where it is read.

    Args:
        text: A text with any number of commands.
        options: Options that select the home or journal, such as ``("--journal", "runs.db")``.
        program: Name of the program where the text is read.
        anew: Also replace the options of commands that already have some.
    """

    def place(found: re.Match[str]) -> str:
        words, chosen = found["words"], found["options"]
        if (anew or not chosen) and _ELSEWHERE.fullmatch(words) is None:
            chosen = "".join(f" {word}" for word in map(shlex.quote, options))
        return f"`{program} {words}{chosen}`"

    return _COMMAND.sub(place, text) if advises(text) else text


# ---------------------------------------------------------------- runs


@_advice
def start_a_run() -> str:
    """For readers without runs or without an orchestrator."""
    return _command(PROGRAM, "run", "FILE.py:NAME")


@_advice
def go_on(run_id: str) -> str:
    """Continue a run, or follow it, in any state. Never starts one."""
    return _command(PROGRAM, "run", "--id", run_id)


@_advice
def resume(run_id: str) -> str:
    """Resume a paused or parked run or session."""
    return _command(PROGRAM, "runs", "resume", run_id)


@_advice
def resume_all() -> str:
    """Resume everything that has not ended."""
    return _command(PROGRAM, "runs", "resume", "--all")


@_advice
def raise_budget(run_id: str, name: str, total: float) -> str:
    """Resume a run with a higher budget."""
    return _command(PROGRAM, "runs", "resume", run_id, "--budget", f"{name}={total:.12g}")


@_advice
def allow_unknown_price(run_id: str) -> str:
    """Resume a run, and let it call models whose price is not known."""
    return _command(PROGRAM, "runs", "resume", run_id, "--budget", "unknown_price=allow")


@_advice
def fork(run_id: str) -> str:
    """Start a copy of a run with the present code."""
    return _command(PROGRAM, "runs", "fork", run_id)


@_advice
def retry(run_id: str) -> str:
    """Retry a run from the step that failed."""
    return _command(PROGRAM, "runs", "retry", run_id)


@_advice
def end_now(run_id: str) -> str:
    """End a run without the rest of its cleanup."""
    return _command(PROGRAM, "runs", "cancel", run_id, "--within", "0")


@_advice
def show_run(run_id: str) -> str:
    """Show a run with its steps."""
    return _command(PROGRAM, "runs", "show", run_id)


@_advice
def show_session(name: str, key: str) -> str:
    """Show a session with its turns."""
    return _command(PROGRAM, "sessions", "show", name, key)


# ---------------------------------------------------------------- people, processes


@_advice
def read_logs(run_id: str) -> str:
    """Show what the code of a run has printed, from its beginning."""
    return _command(PROGRAM, "runs", "logs", run_id)


@_advice
def approve(approval: str) -> str:
    """Approve a run's question."""
    return _command(PROGRAM, "approvals", "approve", approval)


@_advice
def reject(approval: str) -> str:
    """Reject a run's question."""
    return _command(PROGRAM, "approvals", "reject", approval)


@_advice
def list_approvals() -> str:
    """List the open questions of runs."""
    return _command(PROGRAM, "approvals", "list")


@_advice
def list_workers() -> str:
    """List the live workers."""
    return _command(PROGRAM, "actors", "list")


@_advice
def serve(*apps: str) -> str:
    """Start an orchestrator that keeps running."""
    return _command(PROGRAM, "serve", *(apps or ("FILE.py",)))


@_advice
def explain(*verbs: str) -> str:
    """Show the help of a command."""
    return _command(PROGRAM, *verbs, "--help")


# ---------------------------------------------------------------- journals


@_advice
def verify(path: str = "") -> str:
    """Check which parts of a journal are intact: of the file at a path, or of the default journal."""
    return _command(PROGRAM, "db", "verify", *filter(None, [path]))


@_advice
def reindex(path: str = "") -> str:
    """Rebuild a journal's index."""
    return _command(PROGRAM, "db", "reindex", *filter(None, [path]))


@_advice
def accept_loss(path: str) -> str:
    """Accept a journal that lost its end as it is."""
    return _command(PROGRAM, "db", "accept-loss", path)


# ---------------------------------------------------------------- other programs


@_advice
def set_mode(mode: str, path: str) -> str:
    """Change the mode of a file or folder."""
    return _command("chmod", mode, path)


@_advice
def raise_files(count: str) -> str:
    """Raise the limit of open files."""
    return _command("ulimit", "-n", count)


@_advice
def raise_file_size() -> str:
    """Lift the limit of how long a file may become."""
    return _command("ulimit", "-f", "unlimited")


@_advice
def raise_processes(count: str) -> str:
    """Raise the limit of the processes and threads of a user."""
    return _command("ulimit", "-u", count)


@_advice
def install(extra: str) -> str:
    """Install an optional part of the package."""
    return _command("pip", "install", f"{PROGRAM}[{extra}]")
