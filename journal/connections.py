"""Connections to a journal's file: one that writes, any number that only read."""

from pathlib import Path
from typing import Literal, TypeAlias

import apsw

from understudy.journal.database import Database
from understudy.journal.place import make_file, refuse_network, sync_directory
from understudy.journal.schema import Migrations, check, epoch_of, open_epoch

Durability: TypeAlias = Literal["full", "process"]

BUSY_MS = 5_000
"""Milliseconds to wait for another process's lock: a reader's recovery, an operator's shell."""
SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}
"""``NORMAL`` leaves out the sync of each commit but keeps those around checkpoints: a killed process loses nothing with
any setting, since its writes are with the kernel; a power cut then loses the last commits. ``OFF`` would cost hardly
less and a power cut could leave a file that cannot be read at all."""


def open_writer(path: Path, durability: Durability, known: Migrations | None = None) -> tuple[Database, int]:
    """Open a journal for writing, making it where it is missing; give the connection and the new epoch's number.

    Raises:
        JournalError: The place, or what lies there, is unfit.
        OSError, apsw.Error: The system or SQLite refused.
    """
    refuse_network(path)
    make_file(path)
    connection = _connect(path, apsw.SQLITE_OPEN_READWRITE)
    try:
        _harden(connection)
        check(connection, path, known)  # before the first write, so that a file that is not ours stays as it was
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")  # an epoch counts once it is on the disk, whatever the durability
        connection.wal_autocheckpoint(0)  # the writer checkpoints when nobody waits for it
        epoch = open_epoch(connection, path, known)
        _settle_log(connection)
        sync_directory(path.parent)
        connection.pragma("synchronous", SYNCHRONOUS[durability])
    except BaseException:
        close_untouched(connection)
        raise
    return connection, epoch


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
        FileNotFoundError: Nothing lies there.
        JournalError: What lies there is unfit, or still empty.
        apsw.Error: SQLite refused.
    """
    path.stat()
    connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
    try:
        _harden(connection)
        version = check(connection, path, known)
        epoch = epoch_of(connection) if version else 0
    except BaseException:
        close_untouched(connection)
        raise
    return connection, epoch


def _connect(path: Path, flags: int) -> Database:
    return apsw.Connection(str(path), flags=flags, statementcachesize=128)


def _harden(connection: Database) -> None:
    connection.set_busy_timeout(BUSY_MS)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    # A doctored file must not run functions through its schema.
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.pragma("cell_size_check", 1)


def close_untouched(connection: Database) -> None:
    """Close a connection without the checkpoint that closing the last one brings: nothing more is written."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close(force=True)
