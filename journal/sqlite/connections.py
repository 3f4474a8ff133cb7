"""Connections to a journal's file: one that writes, and any number that only read."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

import apsw

from greenroom.journal.database import Database
from greenroom.journal.integrity.lost_tail import newest, place_of, refuse_shorter
from greenroom.journal.integrity.reach import NO_HASH, ReachFile, read_reach
from greenroom.journal.sqlite.errors import JournalUnused, translate
from greenroom.journal.sqlite.file import make_file, refuse_empty, refuse_network, refuse_strangers, sync_directory
from greenroom.journal.sqlite.schema import (
    READ_AS_THEY_ARE,
    Migrations,
    check,
    epoch_of,
    migrations,
    open_epoch,
    show_lines,
    show_no_sums,
)
from greenroom.messages.core.errors import JournalError

Durability: TypeAlias = Literal["full", "process"]

BUSY_MS = 5_000
"""Milliseconds to wait for another process's lock, such as a reader's recovery or an operator's shell."""
SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}
"""``NORMAL`` omits the sync of each commit but keeps those around checkpoints. With any setting, killing the process
loses nothing, because the kernel has its writes. A power failure then loses the last commits. ``OFF`` would be hardly
faster, and a power failure could leave an unreadable file."""


def open_writer(
    path: Path, durability: Durability, known: Migrations | None = None, *, accept_loss: bool = False
) -> tuple[Database, int]:
    """Open a journal for writing, or create it. Return the connection and the number of the new epoch.

    With ``accept_loss``, a journal that is shorter than it was is accepted as it is.

    Raises:
        JournalCorrupt: The file is damaged, or shorter than it was. It is left unchanged.
        JournalError: The place or the file is unsuitable; the message says why.
    """
    with _translated(path):
        refuse_network(path)
        if not accept_loss:
            refuse_empty(path)
        reach = read_reach(path) if path.exists() else None
    with _connected(path, writing=True) as connection:
        version = check(connection, path, known)  # before the first write: a file of another program stays unchanged
        if version:
            show_lines(connection, version)
        if not accept_loss:
            refuse_shorter(connection, path, reach, version)
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")  # an epoch counts once it is on the disk, whatever the durability
        connection.wal_autocheckpoint(0)  # the writer checkpoints while no append waits
        note = ReachFile(path)
        try:
            _note(note, connection, version)  # first, because the new epoch says that there is a note
            floor = reach.epoch if reach is not None and accept_loss else 0
            epoch = open_epoch(connection, path, known, place=place_of(path), floor=floor)
            _settle_log(connection)
            _note(note, connection, version=1)
        finally:
            note.close()
        sync_directory(path.parent)
        refuse_strangers(path)  # once more, for the file that was opened
        connection.pragma("synchronous", SYNCHRONOUS[durability])
    return connection, epoch


def _note(note: ReachFile, connection: Database, version: int) -> None:
    """Write both slots of the note. Everything in the journal is on the disk, or older than this opening."""
    epoch, (events, head) = (epoch_of(connection), newest(connection)) if version else (0, (0, NO_HASH))
    for _ in range(2):
        note.write(epoch, events, head, events, head)


def _settle_log(connection: Database) -> None:
    """Copy the write-ahead log into the database and start an empty log.

    The log may be one whose sync failed before. The kernel then shows its pages as written although the disk never
    received them. Copied into the database and synced there, they are safe; appending to that log would build on a gap.
    """
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:  # a reader holds an old snapshot; the log stays, as without this step
        return


def open_reader(path: Path, known: Migrations | None = None) -> tuple[Database, int]:
    """Open a journal for reading, even while another process writes. Return the connection and the newest epoch.

    Raises:
        JournalError: There is no file, or an unsuitable one; the message says why.
    """
    with _translated(path):
        refuse_empty(path)
        reach = read_reach(path)
    with _connected(path, writing=False) as connection:
        if version := check(connection, path, known):
            latest = (known or migrations())[-1][0]
            if version < latest and version not in READ_AS_THEY_ARE:
                msg = (
                    f"the journal {path} was written by an older greenroom (schema version {version}, this one's is "
                    f"{latest}): start an orchestrator there once, which brings it up to date and loses nothing"
                )
                raise JournalError(msg)
            show_lines(connection, version)
            show_no_sums(connection, version)
            refuse_shorter(connection, path, reach, version)
            return connection, epoch_of(connection)
        msg = f"the journal {path} is still empty: start an orchestrator there first"
        raise JournalUnused(msg)


def _is_frozen(path: Path) -> bool:
    """Return whether a journal has no log and this process could not create one, as for an archive or a backup.

    SQLite then reads it only if told that it does not change.
    """
    return not Path(f"{path}-wal").exists() and not os.access(path.parent, os.W_OK)


@contextmanager
def _translated(path: Path) -> Generator[None]:
    """Raise errors of the operating system as those of this package."""
    try:
        yield
    except OSError as error:
        raise translate(error, path) from error


@contextmanager
def _connected(path: Path, *, writing: bool) -> Generator[Database]:
    """Open a connection. If the work with it fails, close it without writing anything more."""
    connection: Database | None = None
    try:
        connection = _connect(path, writing=writing)
        connection.set_busy_timeout(BUSY_MS)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)  # a manipulated file's schema must not run functions
        connection.pragma("cell_size_check", 1)
        yield connection
    except BaseException as error:
        number = connection.system_errno if connection else _refusal(path)
        if connection:
            close_untouched(connection)
        if isinstance(error, (apsw.Error, OSError)):
            raise translate(error, path, number) from error
        raise


def _refusal(path: Path) -> int:
    """Return why the system lets this process open no file there now, which SQLite keeps to itself; 0 if it does."""
    try:
        os.close(os.open(path.parent, os.O_RDONLY))
    except OSError as error:
        return error.errno or 0
    return 0


def _connect(path: Path, *, writing: bool) -> Database:
    name, flags = str(path), apsw.SQLITE_OPEN_READWRITE if writing else apsw.SQLITE_OPEN_READONLY
    if writing:
        refuse_strangers(path)
        make_file(path)
        name, flags = str(path.parent.resolve() / path.name), flags | apsw.SQLITE_OPEN_NOFOLLOW
    else:
        path.stat()  # its error says plainly that there is none
        if _is_frozen(path):
            name, flags = f"file:{quote(name)}?immutable=1", flags | apsw.SQLITE_OPEN_URI
    return apsw.Connection(name, flags=flags, statementcachesize=128)


def close_untouched(connection: Database) -> None:
    """Close a connection without the checkpoint of the last connection's close, so that nothing more is written."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close(force=True)
