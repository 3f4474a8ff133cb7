"""Connections to a journal's file: one that writes, any number that only read."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

import apsw

from greenroom.journal.database import Database
from greenroom.journal.integrity.lost_tail import newest, place_of, refuse_shorter
from greenroom.journal.integrity.reach import NO_HASH, Reach, ReachFile, read_reach
from greenroom.journal.sqlite.errors import translate
from greenroom.journal.sqlite.file import make_file, refuse_network, refuse_strangers, sync_directory
from greenroom.journal.sqlite.schema import Migrations, check, epoch_of, migrations, open_epoch
from greenroom.messages.core.errors import JournalError

Durability: TypeAlias = Literal["full", "process"]

BUSY_MS = 5_000
"""Milliseconds to wait for another process's lock: a reader's recovery, an operator's shell."""
SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}
"""``NORMAL`` leaves out the sync of each commit but keeps those around checkpoints: a killed process loses nothing with
any setting, since its writes are with the kernel; a power cut then loses the last commits. ``OFF`` would cost hardly
less and a power cut could leave a file that cannot be read at all."""


def open_writer(
    path: Path, durability: Durability, known: Migrations | None = None, *, accept_loss: bool = False
) -> tuple[Database, int]:
    """Open a journal for writing, making it where it is missing; give the connection and the new epoch's number.

    With ``accept_loss`` a journal that is shorter than it was is taken for what it holds.

    Raises:
        JournalCorrupt: What lies there is damaged, or shorter than it was; it was left as it is.
        JournalError: The place, or what lies there, is unfit; the sentence says how.
    """
    refuse_network(path)
    reach = read_note(path) if path.exists() else None
    with _connected(path, writing=True) as connection:
        version = check(connection, path, known)  # before the first write: a file that is not ours stays as it was
        if not accept_loss:
            refuse_shorter(connection, path, reach, version)
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")  # an epoch counts once it is on the disk, whatever the durability
        connection.wal_autocheckpoint(0)  # the writer checkpoints when nobody waits for it
        note = ReachFile(path)
        try:
            _note(note, connection, version)  # first, since the new epoch says that there is a note
            floor = reach.epoch if reach is not None and accept_loss else 0
            epoch = open_epoch(connection, path, known, place=place_of(path), floor=floor)
            _settle_log(connection)
            _note(note, connection, version=1)
        finally:
            note.close()
        sync_directory(path.parent)
        refuse_strangers(path)  # once more: what lies there now has been opened
        connection.pragma("synchronous", SYNCHRONOUS[durability])
    return connection, epoch


def read_note(path: Path) -> Reach | None:
    """Give how far a journal had reached; see ``read_reach``.

    Raises:
        JournalError: The note cannot be read.
    """
    try:
        return read_reach(path)
    except OSError as error:
        raise translate(error, path) from error


def _note(note: ReachFile, connection: Database, version: int) -> None:
    """Note in both slots what is in the journal, all of which is on the disk or older than this opening."""
    epoch, (events, head) = (epoch_of(connection), newest(connection)) if version else (0, (0, NO_HASH))
    for _ in range(2):
        note.write(epoch, events, head, events, head)


def _settle_log(connection: Database) -> None:
    """Move everything from the write-ahead log into the database and start the log afresh.

    The log may be one whose sync failed before: the kernel then shows its pages as written though the disk never got
    them. Copied into the database and synced there, they are safe; appending to that log would build on a hole.
    """
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:  # a reader that holds an old snapshot; the log stays, as it would without this step
        return


def open_reader(path: Path, known: Migrations | None = None) -> tuple[Database, int]:
    """Open a journal for reading only, whether or not another process writes; give the connection and newest epoch.

    Raises:
        JournalError: Nothing lies there, or something unfit; the sentence says what.
    """
    reach = read_note(path)
    with _connected(path, writing=False) as connection:
        if version := check(connection, path, known):
            if version < (latest := (known or migrations())[-1][0]):
                msg = (
                    f"the journal {path} was written by an older greenroom (schema version {version}, this one's is "
                    f"{latest}): start an orchestrator there once, which brings it up to date and loses nothing"
                )
                raise JournalError(msg)
            refuse_shorter(connection, path, reach, version)
            return connection, epoch_of(connection)
        msg = f"the journal {path} is still empty: start an orchestrator there first"
        raise JournalError(msg)


def _is_frozen(path: Path) -> bool:
    """Whether this process could not make the log's files beside a journal that has none: an archive, a backup.

    SQLite then reads it only when told that nobody changes it.
    """
    return not Path(f"{path}-wal").exists() and not os.access(path.parent, os.W_OK)


@contextmanager
def _connected(path: Path, *, writing: bool) -> Generator[Database]:
    """Open a connection, and close it again with nothing more written if the work with it fails."""
    connection: Database | None = None
    try:
        connection = _connect(path, writing=writing)
        connection.set_busy_timeout(BUSY_MS)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)  # no functions run by a doctored file's schema
        connection.pragma("cell_size_check", 1)
        yield connection
    except BaseException as error:
        number = connection.system_errno if connection else 0
        if connection:
            close_untouched(connection)
        if isinstance(error, (apsw.Error, OSError)):
            raise translate(error, path, number) from error
        raise


def _connect(path: Path, *, writing: bool) -> Database:
    name, flags = str(path), apsw.SQLITE_OPEN_READWRITE if writing else apsw.SQLITE_OPEN_READONLY
    if writing:
        refuse_strangers(path)
        make_file(path)
        name, flags = str(path.parent.resolve() / path.name), flags | apsw.SQLITE_OPEN_NOFOLLOW
    else:
        path.stat()  # says plainly that there is none
        if _is_frozen(path):
            name, flags = f"file:{quote(name)}?immutable=1", flags | apsw.SQLITE_OPEN_URI
    return apsw.Connection(name, flags=flags, statementcachesize=128)


def close_untouched(connection: Database) -> None:
    """Close a connection without the checkpoint that closing the last one brings: nothing more is written."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close(force=True)
