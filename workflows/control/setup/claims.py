"""Claim what an orchestrator must own exclusively: its home, its journal, and the lock that its processes inherit."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from greenroom.journal.sqlite.errors import translate
from greenroom.journal.sqlite.file import is_empty, make_file, refuse_network
from greenroom.messages.core.errors import HomeInUse, JournalError
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.workflows.home.home import MEMORY, OWN_HOME, Home, OwnerLock, is_unused, lock_path
from greenroom.workflows.home.private_files import given_path, make_folder, real_path, unwritable

OnClose: TypeAlias = Callable[[Callable[[], object]], None]
"""Registers a function that releases a claim when the orchestrator is closed."""


def place_of(journal: str | os.PathLike[str] | None, home: Home) -> str:
    """Return the journal's path, or ``MEMORY``. The path has no links: one journal must have one lock.

    Raises:
        JournalError: It is a URL, or other users can change a folder of the path.
    """
    if journal is not None and os.fspath(journal) == MEMORY:
        return MEMORY
    if isinstance(journal, str) and "://" in journal:
        scheme = journal.partition("://")[0]
        msg = f"a journal at a URL ({scheme}://...) cannot be opened by this version: give the path of a file"
        raise JournalError(msg)
    place = given_path(journal if journal is not None else home.path / "journal.db")
    if not place.name:
        msg = f"the journal {place} is a folder and not a file: name a file in it"
        raise JournalError(msg)
    return str(real_path(place))


def claim_home(home: Home, place: str, on_close: OnClose, *, required: bool) -> tuple[Home, OwnerLock | None]:
    """Claim the home. If it is only the default and another orchestrator owns it, claim one beside the journal.

    Returns:
        The home, and its lock. The latter is None if another orchestrator owns the home, so that commands of other
        processes cannot reach this one.

    Raises:
        HomeInUse: Another orchestrator owns the home, and ``required`` is true.
    """
    home.create()
    try:
        lock = _own(OwnerLock(home.path / "orchestrator.lock"), f"the home {home.path}", on_close)
    except HomeInUse as error:
        if required:
            raise
        from loguru import logger  # noqa: PLC0415  nothing else that is imported before the first keeper starts needs it

        if place == MEMORY:
            logger.warning("commands from other processes will not reach this orchestrator: {}", error)
            return home, None
        beside = Home(place + OWN_HOME, place)
        logger.info("commands from other processes come in at {}: {}", beside.path, error)
        return claim_home(beside, place, on_close, required=True)
    return home, lock


def claim_journal(place: str, home: Home, on_close: OnClose) -> Path:
    """Claim the journal by a file beside it, which outlives it. Return the path of the lock that all processes inherit.

    ``claim_file`` must follow. An empty file that was never claimed before, as ``tempfile`` makes them, is removed.

    Raises:
        HomeInUse: Another orchestrator owns the journal.
        JournalError: Its folder cannot be created.
    """
    if place == MEMORY:
        folder = tempfile.TemporaryDirectory(prefix="greenroom-")
        on_close(folder.cleanup)
        return Path(folder.name) / "workers.lock"
    path = Path(place)
    refuse_network(path)
    try:
        make_folder(path.parent)
    except OSError as error:
        msg = f"the journal {path} cannot be created: {error.strerror}"
        raise JournalError(msg) from error
    unused = is_unused(path)
    _own(OwnerLock(lock_path(path), note=str(home.path)), f"the journal {path}", on_close)
    if unused and is_empty(path):
        path.unlink()
    return path.with_name(path.name + ".workers")


def claim_file(place: str, on_close: OnClose) -> None:
    """Claim the journal's own file, and create it if it is missing. Called just before the journal is opened.

    Through another mount of the journal, the file beside it may be a different one.

    Raises:
        HomeInUse: Another orchestrator owns the journal.
        JournalError: The journal cannot be created.
    """
    path = Path(place)
    try:
        make_file(path)
    except OSError as error:
        raise translate(error, path) from error
    _own(OwnerLock(path, signed=False), f"the journal {path}", on_close)


def claim_workers(path: Path, on_close: OnClose) -> GenerationLock:
    """Acquire the lock that all processes of this orchestrator inherit, after ending those of the previous one.

    Raises:
        HomeInUse: Processes of an orchestrator that died cannot be ended.
        JournalError: The lock's file cannot be locked.
    """
    generation = GenerationLock(path)
    try:
        generation.acquire()
    except TimeoutError as error:
        msg = f"processes of an orchestrator that died are still there and cannot be ended: {error}"
        raise HomeInUse(msg) from error
    except OSError as error:
        raise unwritable(path, error) from error
    on_close(generation.release)
    return generation


def _own(lock: OwnerLock, what: str, on_close: OnClose) -> OwnerLock:
    lock.acquire(what)
    on_close(lock.release)
    return lock
