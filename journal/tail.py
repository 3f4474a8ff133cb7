"""Whether a journal still has its end: what it holds against what was noted that it had held."""

import os
from pathlib import Path

from understudy.journal.database import Database
from understudy.journal.reach import NO_HASH, Reach, reach_path
from understudy.messages.errors import JournalCorrupt


def newest(connection: Database) -> tuple[int, bytes]:
    """Give the number of events of all runs and the hash of the newest one, in a few microseconds.

    Events are never deleted, so SQLite numbers their lines 1, 2, 3 ... in the order in which they were written.
    """
    row = connection.execute("SELECT rowid, hash FROM events ORDER BY rowid DESC LIMIT 1").fetchone()
    return row if row is not None else (0, NO_HASH)


def place_of(path: Path) -> str:
    """Give what tells the file at a path from a copy of it."""
    found = path.stat()
    return f"{found.st_dev}:{found.st_ino}"


def refuse_shorter(connection: Database, path: Path, reach: Reach | None, version: int) -> None:
    """Refuse a journal that does not hold all that was acknowledged.

    A copy of a journal without its note opens, and so does a journal that was closed in order: SQLite's file is then
    complete in itself.

    Args:
        connection: To the journal; it is only read.
        path: The journal's file.
        reach: What was noted last, read before ``connection`` looked at the file for the first time.
        version: Of the schema; 0 where the file is empty.

    Raises:
        JournalCorrupt: Something is missing; the sentence says what, and how to go on.
    """
    if reach is None:
        if version and _note_was_lost(connection, path):
            raise JournalCorrupt(
                f"the note {reach_path(path)} is missing or damaged. It says how far the journal had reached when its "
                "orchestrator was killed, so nobody can tell whether the end of the journal is there: "
                f"{_remedy(path)}"
            )
        return
    if missing := _missing(connection, reach, version):
        raise JournalCorrupt(
            f"the journal {path} is shorter than it was: {missing}. Its write-ahead log ({path}-wal) was damaged or "
            f"deleted, or an older copy was put in its place: {_remedy(path)}"
        )


def _missing(connection: Database, reach: Reach, version: int) -> str:
    """Say what is missing; nothing where all is there."""
    events = epoch = 0
    if version:
        events, _ = newest(connection)
        epoch = int(connection.execute("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'epoch'").get)
    if events < reach.events:
        return f"it holds {events} events, and {reach.events} had been acknowledged"
    if epoch < reach.epoch:
        return f"it was opened {epoch} times by its own count, and {reach.epoch} times had been noted"
    if reach.events:
        found = connection.execute("SELECT hash FROM events WHERE rowid = ?", (reach.events,)).fetchone()
        if found is None or found[0] != reach.head:
            return f"its event number {reach.events} of all is not the one that had been acknowledged"
    return ""


def _note_was_lost(connection: Database, path: Path) -> bool:
    """Whether this file had a note and was not closed in order since."""
    query = "SELECT name, value FROM meta WHERE name IN ('epoch', 'place', 'closed')"
    known = dict(connection.execute(query).fetchall())
    return known.get("place") == place_of(path) and known.get("closed") != known.get("epoch")


def _remedy(path: Path) -> str:
    return (
        "put back all its files from a backup, or go on with what is there by "
        f"`understudy db accept-loss {os.fspath(path)}`"
    )
