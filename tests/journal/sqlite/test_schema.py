"""Bringing a journal's tables up to date, and the connections that do it."""

import apsw
import pytest

from greenroom.journal.sqlite.connections import open_reader, open_writer
from greenroom.journal.sqlite.schema import migrations
from greenroom.messages.core.errors import JournalError
from tests.journal.appends import Client, changed

LATEST = migrations()[-1][0]
NEXT = (LATEST + 1, "ALTER TABLE runs ADD COLUMN mood TEXT; CREATE TABLE moods (name TEXT);")
BROKEN = (LATEST + 2, "CREATE TABLE fine (x); CREATE TABLE moods (name TEXT);")


def version(path):
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.pragma("user_version")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    return found, tables


def test_the_steps_are_numbered_from_one_without_gaps():
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_new_file_gets_every_step(tmp_path):
    path = tmp_path / "journal.db"
    connection, epoch = open_writer(path, "full", (*migrations(), NEXT))
    connection.close()
    assert epoch == 1
    found, tables = version(path)
    assert found == LATEST + 1
    assert {"event_lines", "runs", "moods"} <= tables


def test_an_older_file_gets_the_steps_it_lacks_and_keeps_its_events(opened):
    journal = opened()
    Client(journal).append("r", 0, changed("kept"))
    journal.close()
    connection, epoch = open_writer(journal.path, "full", (*migrations(), NEXT))
    assert epoch == 2
    assert connection.execute("SELECT mood, last_seq FROM runs").fetchall() == [(None, 1)]
    connection.close()
    assert version(journal.path)[0] == LATEST + 1


def test_an_older_file_is_not_read_by_somebody_who_cannot_bring_it_up_to_date(opened):
    journal = opened()
    journal.close()
    with pytest.raises(JournalError, match="written by an older greenroom.*start an orchestrator there once"):
        open_reader(journal.path, (*migrations(), NEXT))


def test_a_step_that_fails_leaves_the_file_as_it_was(opened):
    journal = opened()
    Client(journal).append("r", 0, changed("kept"))
    journal.close()
    before = journal.path.read_bytes()
    with pytest.raises(JournalError, match="table moods already exists"):
        open_writer(journal.path, "full", (*migrations(), NEXT, BROKEN))
    tables = {"event_lines", "blobs", "runs", "timers", "marks", "meta", "figures", "figure_runs"}
    assert version(journal.path) == (LATEST, tables)
    assert journal.path.read_bytes() == before
    again = opened()
    assert again.epoch == 2
    assert again.verify() == []


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("process", 1)])
def test_commits_are_synced_as_the_durability_asks(tmp_path, durability, level):
    connection, _ = open_writer(tmp_path / "journal.db", durability)
    assert connection.pragma("synchronous") == level
    assert connection.pragma("journal_mode") == "wal"
    connection.close()


def test_a_reader_cannot_write(opened):
    journal = opened()
    connection, epoch = open_reader(journal.path)
    assert epoch == 1
    with pytest.raises(apsw.ReadOnlyError):
        connection.execute("DELETE FROM event_lines")
    connection.close()
