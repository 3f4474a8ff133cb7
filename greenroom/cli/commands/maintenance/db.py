"""``greenroom db``: checking and repairing a journal."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, say, table
from greenroom.cli.exit_codes import RUN_FAILED
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.journal.sqlite.journal import SqliteJournal

JOURNAL = click.argument("file", required=False, metavar="[JOURNAL]", type=click.Path(path_type=Path))


@click.group()
@common
def db() -> None:
    """Check a journal, and repair what can be repaired.

    JOURNAL is its path; the default is the journal of the home.
    """


@db.command()
@JOURNAL
@common
@pass_settings
def verify(settings: Settings, file: Path | None) -> int:
    """Check everything that a journal holds: every event, the run index, timers and marks.

    The journal is only read, and an orchestrator may be running. The exit code is 0 if it is intact, 1 if not.
    """
    from greenroom.journal.interface import Fault
    from greenroom.journal.sqlite.journal import SqliteJournal
    from greenroom.messages.core.errors import JournalCorrupt
    from greenroom.workflows.queries.reindex import state_faults

    path = _place(settings, file)
    try:
        opened = SqliteJournal(path, read_only=True)
    except JournalCorrupt as error:
        found = [Fault("end", str(error))]
    else:
        try:
            found = list(opened.faults())
            if not found:
                found = list(state_faults(opened))
        finally:
            opened.close()
    if settings.json:
        emit({"journal": str(path), "whole": not found, "faults": found})
    elif found:
        table(("kind", "run", "event", "what"), ((each.kind, each.run_id, each.event, each.sentence) for each in found))
    else:
        say(f"the journal {path} is whole")
    return RUN_FAILED if found else 0


@db.command()
@JOURNAL
@common
@pass_settings
def reindex(settings: Settings, file: Path | None) -> None:
    """Rebuild the run index, the timers and the marks of a journal from its events.

    No orchestrator may be running on it. Runs with damaged events are parked.
    """
    from greenroom.workflows.queries.reindex import anew

    with _owned(_place(settings, file)) as opened:
        opened.rebuild(anew(opened))
        say(f"the index of {opened.path} was made anew: {len(opened.entries())} runs, sessions and schedules")


@db.command("accept-loss")
@JOURNAL
@common
@pass_settings
def accept_loss(settings: Settings, file: Path | None) -> None:
    """Accept a journal that has lost acknowledged events, so that it can be opened again.

    What is missing is lost: runs continue from what the journal still holds. Make a copy of the files first.
    """
    from greenroom.messages.advice import verify

    with _owned(_place(settings, file), accept_loss=True) as opened:
        say(f"the journal {opened.path} counts from now on as what it holds; check it with {verify(str(opened.path))}")


def _place(settings: Settings, journal: Path | None) -> Path:
    """Return the path of the journal.

    Raises:
        JournalError: It does not exist.
    """
    from greenroom.messages.core.errors import JournalError

    path = (journal or Path(settings.home.journal)).absolute()
    if not path.is_file():
        msg = f"there is no journal at {path}: check the path, or start an orchestrator there first"
        raise JournalError(msg)
    return path


@contextmanager
def _owned(path: Path, *, accept_loss: bool = False) -> Generator["SqliteJournal"]:
    """Open a journal for writing, exclusively.

    Raises:
        HomeInUse: An orchestrator has it open.
    """
    from greenroom.journal.sqlite.journal import SqliteJournal
    from greenroom.workflows.home.home import OwnerLock, lock_path

    lock = OwnerLock(lock_path(path))
    lock.acquire(f"the journal {path}")
    try:
        journal = SqliteJournal(path, accept_loss=accept_loss)
        try:
            yield journal
        finally:
            journal.close()
    finally:
        lock.release()
