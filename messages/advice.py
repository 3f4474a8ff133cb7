"""Every command that we ever advise somebody to type, made in one place, so that tests can run them all.

A command is written ```` `greenroom runs resume r` ````, without saying where: what is decided and recorded does not
know in which folder it will be read. Whoever shows it to somebody puts in the options that lead to the right home or
journal (``placed``), so it can be typed as it is read. A word in capitals stands for what only the reader knows.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from greenroom.messages.former_name import FORMER

PROGRAM: Final = "greenroom"
BEGINNING: Final = f"`{PROGRAM} "
"""What a command of ours in a text begins with."""

F = TypeVar("F", bound=Callable[..., str])

ADVICE: Final[dict[str, Callable[..., str]]] = {}
"""Every piece of advice there is, by the name of what makes it. A test runs each where it is given."""

_COMMAND: Final = re.compile(
    rf"`(?:{PROGRAM}|{FORMER}) (?P<words>[a-z][^`]*?)(?P<options>(?: --(?:home|journal) (?:[^\s'`]|'[^']*')+)*)`"
)
"""A command, with the options that lead to its home or journal. Older journals hold the program's former name."""
_ELSEWHERE: Final = re.compile(r"db \S+ .+|.+ --help")
"""Commands that are the same for every home: they name a file, or do nothing."""


def _advice(function: F) -> F:
    ADVICE[function.__name__] = function
    return function


def _command(*words: str) -> str:
    """Write a command so that a shell takes it as it is meant."""
    return "`" + shlex.join(words) + "`"


def advises(text: str) -> bool:
    """Return whether a text holds a command of ours, under the present or the former name."""
    return BEGINNING in text or f"`{FORMER} " in text


def placed(text: str, options: Sequence[str], *, program: str = PROGRAM, anew: bool = False) -> str:
    """Give a text whose commands can be typed where it is read.

    Args:
        text: May hold any number of commands, or none.
        options: What leads to the right home or journal, such as ``("--journal", "runs.db")``.
        program: How the program is called where the text is read.
        anew: Also replace the options of commands that have some already.
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
    """To whoever has no runs yet, or no orchestrator."""
    return _command(PROGRAM, "run", "FILE.py:NAME")


@_advice
def go_on(run_id: str) -> str:
    """Go on with a run, or follow it, whatever its state; never starts one."""
    return _command(PROGRAM, "run", "--id", run_id)


@_advice
def resume(run_id: str) -> str:
    """Let a run or session go on that is paused or parked."""
    return _command(PROGRAM, "runs", "resume", run_id)


@_advice
def resume_all() -> str:
    """Let everything go on that has not ended."""
    return _command(PROGRAM, "runs", "resume", "--all")


@_advice
def raise_budget(run_id: str, name: str, total: float) -> str:
    """Let a run go on with a higher budget."""
    return _command(PROGRAM, "runs", "resume", run_id, "--budget", f"{name}={total:.12g}")


@_advice
def fork(run_id: str) -> str:
    """Start a run like another one, by the present code."""
    return _command(PROGRAM, "runs", "fork", run_id)


@_advice
def retry(run_id: str) -> str:
    """Let a run go on from the step that failed."""
    return _command(PROGRAM, "runs", "retry", run_id)


@_advice
def end_now(run_id: str) -> str:
    """End a run without the rest of its cleanup."""
    return _command(PROGRAM, "runs", "cancel", run_id, "--within", "0")


@_advice
def show_run(run_id: str) -> str:
    """Look at a run with its steps."""
    return _command(PROGRAM, "runs", "show", run_id)


@_advice
def show_session(name: str, key: str) -> str:
    """Look at a session with its turns."""
    return _command(PROGRAM, "sessions", "show", name, key)


# ---------------------------------------------------------------- people, processes


@_advice
def read_logs(run_id: str) -> str:
    """Read what the code of a run has printed, from its beginning."""
    return _command(PROGRAM, "runs", "logs", run_id)


@_advice
def approve(approval: str) -> str:
    """Say yes to what a run asks a person."""
    return _command(PROGRAM, "approvals", "approve", approval)


@_advice
def reject(approval: str) -> str:
    """Say no to what a run asks a person."""
    return _command(PROGRAM, "approvals", "reject", approval)


@_advice
def list_approvals() -> str:
    """See what runs ask people."""
    return _command(PROGRAM, "approvals", "list")


@_advice
def list_workers() -> str:
    """See which workers are alive."""
    return _command(PROGRAM, "actors", "list")


@_advice
def serve(*apps: str) -> str:
    """Have an orchestrator that stays."""
    return _command(PROGRAM, "serve", *(apps or ("FILE.py",)))


@_advice
def explain(*verbs: str) -> str:
    """Read how a verb is used."""
    return _command(PROGRAM, *verbs, "--help")


# ---------------------------------------------------------------- journals


@_advice
def verify(path: str = "") -> str:
    """See what of a journal is whole: of the file at a path, or else of the one that is meant where this is read."""
    return _command(PROGRAM, "db", "verify", *filter(None, [path]))


@_advice
def reindex(path: str = "") -> str:
    """Make a journal's index anew."""
    return _command(PROGRAM, "db", "reindex", *filter(None, [path]))


@_advice
def accept_loss(path: str) -> str:
    """Take a journal that lost its end for what it holds."""
    return _command(PROGRAM, "db", "accept-loss", path)


# ---------------------------------------------------------------- other programs


@_advice
def set_mode(mode: str, path: str) -> str:
    """Change who may do what with a file or folder."""
    return _command("chmod", mode, path)


@_advice
def raise_files(count: str) -> str:
    """Have more files open at once."""
    return _command("ulimit", "-n", count)


@_advice
def install(extra: str) -> str:
    """Install what a part of the package needs."""
    return _command("pip", "install", f"{PROGRAM}[{extra}]")
