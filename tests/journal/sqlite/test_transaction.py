"""A transaction is written whole or not at all, whatever its length."""

import apsw
import pytest

from greenroom.journal.sqlite.connections import open_writer
from greenroom.journal.sqlite.transaction import TARGETS, UNCHANGED, TransactionRows, prepare
from tests.journal.appends import Client, changed

LENGTHS = (1, 2, 31, 32, 33, 48, 49, 127, 128, 129, 300)


@pytest.fixture
def connection(tmp_path):
    """Give a connection of an open journal, ready to write transactions."""
    connection, _ = open_writer(tmp_path / "journal.db", "process")
    prepare(connection)
    yield connection
    connection.close()


def timers(count: int) -> TransactionRows:
    """Give rows that set timers."""
    rows = TransactionRows()
    for number in range(count):
        rows.add("timer", ("r", f"timer {number}", float(number)))
    return rows


@pytest.mark.parametrize("length", LENGTHS)
def test_as_many_rows_are_written_as_were_added(connection, length):
    timers(length).write(connection)
    found = connection.execute("SELECT key, due FROM timers ORDER BY due").fetchall()
    assert found == [(f"timer {number}", float(number)) for number in range(length)]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_row_that_exists_already_leaves_nothing_written(connection, length):
    before = timers(length)
    before.add("timer", ("r", "timer 0", 9.0))
    with pytest.raises(apsw.ConstraintError):
        before.write(connection)
    assert connection.execute("SELECT count(*) FROM timers").get == 0
    assert not connection.in_transaction


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("what", ["epoch", "data_version"])
def test_nothing_is_written_after_another_connection(connection, length, what):
    version = connection.pragma("data_version")
    rows = TransactionRows()
    rows.add(UNCHANGED, (2, version) if what == "epoch" else (1, version + 1))
    for number in range(length):
        rows.add("timer", ("r", f"timer {number}", 1.0))
    with pytest.raises(apsw.ConstraintError, match="another connection has written"):
        rows.write(connection)
    assert connection.execute("SELECT count(*) FROM timers").get == 0


def test_every_kind_of_row_has_its_trigger_and_no_other_table_is_written(connection):
    rows = TransactionRows()
    rows.add(UNCHANGED, (1, connection.pragma("data_version")))
    for kind, target in TARGETS.items():
        if kind != UNCHANGED and not kind.startswith("no "):
            rows.add(kind, tuple(range(target.columns)))
    rows.write(connection)
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table}").get
        for table in ("events", "blobs", "runs", "timers", "marks")
    }
    assert set(counts.values()) == {1}, counts


def test_a_group_that_is_longer_than_a_statement_is_one_transaction(opened):
    client = Client(opened())
    assert client.append("r", 0, *(changed(number) for number in range(500))) is None
    assert len(client.journal.events("r")) == 500
    assert client.journal.verify() == []
