"""The tables of the SQLite journal: their version, and the migration of older files."""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeAlias

from greenroom.journal.database import Database
from greenroom.journal.integrity.row_sums import SEALED, seal_all
from greenroom.journal.sqlite.errors import repair
from greenroom.journal.sqlite.file import APPLICATION_ID
from greenroom.messages.core.errors import JournalCorrupt, JournalTooNew

FIGURES = 4
"""The schema version that introduced saved sums."""
LINES = 5
"""The schema version that introduced lines of several events."""
READ_AS_THEY_ARE = range(3, LINES)
"""The older schema versions that can be read without being brought up to date."""
_AS_LINES = "CREATE TEMP VIEW event_lines AS SELECT rowid AS rowid, *, NULL AS number FROM main.events"

Migrations: TypeAlias = Sequence[tuple[int, str]]
"""The version that a step leads to, and its SQL, in order from 1."""


@cache
def migrations() -> Migrations:
    """Return the migration steps of this version of the package, from the numbered files in ``migrations``."""
    folder = resources.files("greenroom.journal.sqlite").joinpath("migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple((int(file.name.split("_", 1)[0]), file.read_text(encoding="utf-8")) for file in files)


def check(connection: Database, path: Path, known: Migrations | None = None) -> int:
    """Check, without changing anything, that a file is a journal that this version can read.

    Returns:
        Its schema version; 0 if the file is empty.

    Raises:
        JournalTooNew: The file was written by a newer version of this package.
        JournalCorrupt: The file is another program's database.
        apsw.Error: The file cannot be read.
    """
    latest = (migrations() if known is None else known)[-1][0]
    version = int(connection.pragma("user_version"))
    mark = connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if mark != APPLICATION_ID and (tables or version):
        msg = f"{path} is a database of another program, not a journal; it was left as it is, choose another path"
        raise JournalCorrupt(msg)
    if version > latest:
        msg = (
            f"the journal {path} has schema version {version}, written by a newer greenroom; this one knows versions "
            f"up to {latest}: upgrade greenroom, or choose another path; the file was left as it is"
        )
        raise JournalTooNew(msg)
    return version


def show_lines(connection: Database, version: int) -> None:
    """Show the events of an older journal as lines, to this connection only. ``open_epoch`` puts an end to that."""
    if version < LINES:
        connection.execute(_AS_LINES)


def show_no_sums(connection: Database, version: int) -> None:
    """Show a journal that is too old to have saved sums as one that has none yet, to this connection only."""
    if version < FIGURES:
        connection.execute(dict(migrations())[FIGURES].replace("CREATE TABLE", "CREATE TEMP TABLE"))


def open_epoch(
    connection: Database, path: Path, known: Migrations | None = None, *, place: str = "", floor: int = 0
) -> int:
    """Bring the tables up to date and begin a new epoch, all in one transaction.

    Args:
        connection: Connection to the journal, for writing.
        path: The journal's file.
        known: The migration steps; None for those of this version.
        place: Identity of this file that a copy does not have. From now on the file has a note of its last event.
        floor: The new epoch is above this number, whatever the tables say.

    Returns:
        The epoch's number: how often the journal was opened for writing, including this time.
    """
    steps = migrations() if known is None else known
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = check(connection, path, steps)  # again: another process may have been faster
        connection.execute("DROP VIEW IF EXISTS temp.event_lines")
        for number, sql in steps:
            if number > version:
                connection.execute(sql)
                connection.pragma("user_version", number)
        if version < SEALED:
            seal_all(connection)
        connection.pragma("application_id", APPLICATION_ID)
        epoch = max(epoch_of(connection), floor) + 1
        connection.execute(
            "INSERT INTO meta (name, value) VALUES ('epoch', ?), ('place', ?) "
            "ON CONFLICT DO UPDATE SET value = excluded.value",
            (epoch, place),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return epoch


def epoch_of(connection: Database) -> int:
    """Return the number of the newest epoch.

    Raises:
        JournalCorrupt: It is missing, or not a number.
    """
    row = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    if row is None or not isinstance(row[0], int):
        msg = f"the journal is damaged (it has no epoch): {repair()}"
        raise JournalCorrupt(msg)
    return row[0]
