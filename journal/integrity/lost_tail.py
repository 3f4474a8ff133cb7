"""Detection of a journal that has lost its end, by comparing its content with the note of what it held."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenroom.journal.database import Database
from greenroom.journal.integrity.reach import NO_HASH, Reach, reach_path
from greenroom.messages.advice import accept_loss
from greenroom.messages.core.errors import JournalCorrupt


def newest(connection: Database) -> tuple[int, bytes]:
    """Return the number of lines of events of all runs and the hash of the newest one, in a few microseconds.

    Events are never deleted, so SQLite numbers their rows 1, 2, 3 ... in the order in which they were written.
    """
    row = connection.execute("SELECT rowid, hash FROM event_lines ORDER BY rowid DESC LIMIT 1").fetchone()
    return row if row is not None else (0, NO_HASH)


def events_in_all(connection: Database) -> int:
    """Return the number of events of all runs, by the newest line; -1 if damage has made something else of it."""
    row = connection.execute("SELECT coalesce(number, rowid) FROM event_lines ORDER BY rowid DESC LIMIT 1").fetchone()
    number = 0 if row is None else row[0]
    return number if isinstance(number, int) else -1


def place_of(path: Path) -> str:
    """Return an identity of the file at a path that a copy of it does not have."""
    found = path.stat()
    return f"{found.st_dev}:{found.st_ino}"


def refuse_shorter(connection: Database, path: Path, reach: Reach | None, version: int) -> None:
    """Raise if a journal does not hold everything that was acknowledged.

    A journal that was closed properly is complete and has no note. A copy of a journal without its note can be opened.

    Args:
        connection: Connection to the journal, which is only read.
        path: The journal's file.
        reach: The last note, read before ``connection`` looked at the file for the first time.
        version: Version of the schema; 0 if the file is empty.

    Raises:
        JournalCorrupt: Something is missing. The message says what, and how to go on.
    """
    known = _known(connection) if version else {}
    closed = closed_reach(known)
    if reach is None and closed is None:
        if known.get("place") != place_of(path):
            return
        msg = (
            f"the note {reach_path(path)} is missing or damaged. It says how far the journal had reached when its "
            f"orchestrator was killed, so nobody can tell whether the end of the journal is there: {_remedy(path)}"
        )
        raise JournalCorrupt(msg)
    for said in (reach, closed):
        if said is not None and (missing := _missing(connection, said, known)):
            msg = (
                f"the journal {path} is shorter than it was: {missing}. The file or its write-ahead log ({path}-wal) "
                f"was damaged or deleted, or an older copy was put in its place: {_remedy(path)}"
            )
            raise JournalCorrupt(msg)


def _known(connection: Database) -> dict[str, Any]:
    query = "SELECT name, value FROM meta WHERE name IN ('epoch', 'place', 'closed')"
    return dict(connection.execute(query).fetchall())


def closing(epoch: int, lines: int, head: bytes) -> str:
    """Return what a journal records about its own end when it is closed properly."""
    return f"{epoch} {lines} {head.hex()}"


def closed_reach(known: Mapping[str, Any]) -> Reach | None:
    """Return the end of a journal as it recorded it itself; None if it was not closed properly.

    Args:
        known: Content of the table ``meta``.
    """
    try:
        epoch, lines, head = str(known.get("closed")).split(" ")
        said = Reach(int(epoch), int(lines), bytes.fromhex(head))
    except ValueError:
        return None
    return said if said.epoch == known.get("epoch") else None


def _missing(connection: Database, reach: Reach, known: Mapping[str, Any]) -> str:
    """Return what is missing; empty if nothing is."""
    lines = newest(connection)[0] if known else 0
    epoch = known.get("epoch", 0)
    if lines < reach.lines:
        return f"its events end at line {lines}, and line {reach.lines} had been acknowledged"
    if not isinstance(epoch, int) or epoch < reach.epoch:
        return f"it was opened {epoch} times by its own count, and {reach.epoch} times had been noted"
    if reach.lines:
        found = connection.execute("SELECT hash FROM event_lines WHERE rowid = ?", (reach.lines,)).fetchone()
        if found is None or found[0] != reach.head:
            return f"line {reach.lines} of its events is not the one that had been acknowledged"
    return ""


def _remedy(path: Path) -> str:
    return f"put back all its files from a backup, or go on with what is there by {accept_loss(str(path))}"
