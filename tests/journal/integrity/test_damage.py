"""Rot and tampering: what is stored is never taken for what was written."""

import random
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from greenroom.journal.database import Database
from greenroom.journal.interface import Append, Mark, Timer
from greenroom.journal.sqlite.reader import FIRST
from greenroom.messages.codecs.event_codec import encode_event
from greenroom.messages.core.errors import JournalCorrupt, JournalTooNew
from tests.journal.appends import Client, changed, started
from tests.journal.older import make_older


@pytest.fixture
def path(opened):
    """Give a closed journal with a run of six events, the third in the blob table, and a second run."""
    journal = opened()
    client = Client(journal)
    assert client.append("r", 0, started("r"), changed("second"), changed("x" * 100_000), changed("fourth")) is None
    assert client.append("r", 4, changed("fifth"), changed("sixth")) is None
    assert client.append("other", 0, started("other"), changed("fine")) is None
    assert journal.verify() == []
    journal.close()
    return journal.path


def edit(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


SWAP = """
    UPDATE event_lines SET run_id = 'x' WHERE run_id = 'r' AND seq < 3;
    UPDATE event_lines SET run_id = 'r' WHERE run_id = 'other';
"""


@pytest.mark.parametrize(
    ("sql", "seq"),
    [
        ("UPDATE event_lines SET body = replace(body, 'fourth', 'forged') WHERE run_id = 'r'", 4),
        ("UPDATE event_lines SET body = CAST(x'ff' AS TEXT) WHERE run_id = 'r' AND seq = 4", 4),
        ("UPDATE event_lines SET body = NULL WHERE run_id = 'r' AND seq = 4", 4),
        ("UPDATE event_lines SET body = replace(body, 'sixth', 'forge') WHERE run_id = 'r'", 5),
        ("UPDATE event_lines SET body = replace(body, x'2c0a', ' ') WHERE run_id = 'r'", 1),
        ("UPDATE event_lines SET hash = zeroblob(32) WHERE run_id = 'r' AND seq = 4", 4),
        ("UPDATE event_lines SET hash = zeroblob(32) WHERE run_id = 'r' AND seq = 6", 5),
        ("DELETE FROM event_lines WHERE run_id = 'r' AND seq = 2", 1),
        ("DELETE FROM event_lines WHERE run_id = 'r' AND seq = 4", 4),
        ("DELETE FROM event_lines WHERE run_id = 'r' AND seq > 4", 5),
        ("DELETE FROM event_lines WHERE run_id = 'r'", 1),
        ("UPDATE event_lines SET seq = seq + 10 WHERE run_id = 'r' AND seq > 3", 4),
        ("UPDATE blobs SET body = replace(body, 'xxx', 'xxy')", 3),
        ("DELETE FROM blobs", 3),
        ("UPDATE runs SET head = zeroblob(32) WHERE id = 'r'", 6),
        ("UPDATE runs SET last_seq = 7 WHERE id = 'r'", 7),
        (SWAP, 1),
    ],
)
def test_a_read_names_the_damaged_event_and_the_remedy_and_verify_finds_it_too(opened, path, sql, seq):
    edit(path, sql)
    journal = opened()
    with pytest.raises(JournalCorrupt, match=rf"event {seq} of run r in the journal .*greenroom db verify"):
        journal.events("r")
    assert any("run r" in sentence for sentence in journal.verify())


def test_the_other_runs_of_a_damaged_journal_are_read_as_before(opened, path):
    edit(path, "UPDATE event_lines SET body = replace(body, 'fourth', 'forged') WHERE run_id = 'r'")
    journal = opened()
    assert len(journal.events("other")) == 2
    assert journal.run("r") is not None
    assert Client(journal).append("other", 2, changed(3)) is None
    assert journal.verify() == ["run r: event 4 is not what was written"]


def test_a_read_from_the_middle_checks_from_the_event_before_it(opened, path):
    edit(path, "UPDATE event_lines SET body = replace(body, 'fourth', 'forged') WHERE run_id = 'r'")
    journal = opened()
    with pytest.raises(JournalCorrupt, match="event 4"):
        journal.events("r", after=3)
    assert len(journal.events("r", limit=3)) == 3
    edit(path, "UPDATE event_lines SET body = replace(body, 'fifth', 'forge') WHERE run_id = 'r'")
    for after in (4, 5):
        with pytest.raises(JournalCorrupt, match="event 5"):
            journal.events("r", after=after)
    edit(path, "DELETE FROM event_lines WHERE run_id = 'r' AND seq = 6")
    for after in (4, 5, 6):
        with pytest.raises(JournalCorrupt, match="event 5"):
            journal.events("r", after=after)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("DELETE FROM runs WHERE id = 'other'", "run other has 2 events and no line in the index"),
        (
            "UPDATE event_lines SET type = 'run.failed' WHERE run_id = 'other' AND seq = 2",
            "columns beside events 1 to 2 differ",
        ),
        (
            "UPDATE event_lines SET at = 9 WHERE run_id = 'other' AND seq = 2",
            "run other: the columns beside events 1 to 2 differ",
        ),
        ("UPDATE event_lines SET type = 'run.failed' WHERE run_id = 'r' AND seq = 4", "columns beside event 4 differ"),
        ("UPDATE event_lines SET number = 9", "there are 8 events, and 9 by the newest line of them"),
        ("UPDATE event_lines SET number = 'x'", "there are 8 events, and -1 by the newest line of them"),
        ("INSERT INTO blobs VALUES (x'00', 'y')", "blob 00 is not what was written"),
        (
            "INSERT INTO blobs VALUES (x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', '')",
            "belongs to no event",
        ),
    ],
)
def test_verify_finds_what_reads_do_not_look_at(opened, path, sql, sentence):
    edit(path, sql)
    found = opened().verify()
    assert len(found) == 1
    assert sentence in found[0]


def test_every_flipped_bit_in_an_events_text_is_noticed(opened, path):
    """Such flips leave the database well-formed: SQLite's own check passes."""
    whole = path.read_bytes()
    body = encode_event(changed("sixth"))
    start = whole.index(body)
    chance = random.Random(7)
    for _ in range(60):
        place, bit = chance.randrange(start, start + len(body)), chance.randrange(8)
        rotten = bytearray(whole)
        rotten[place] ^= 1 << bit
        path.write_bytes(rotten)
        journal = opened(read_only=True)
        with pytest.raises(JournalCorrupt):
            journal.events("r")
        assert journal.verify()
        journal.close()


def test_flipped_bits_anywhere_never_change_what_is_read(opened, path):
    journal = opened(read_only=True)
    truth = {run: journal.events(run) for run in ("r", "other")}
    journal.close()
    whole = path.read_bytes()
    chance = random.Random(11)
    noticed = 0
    for _ in range(300):
        rotten = bytearray(whole)
        rotten[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(rotten)
        try:
            journal = opened(read_only=True)
        except (JournalCorrupt, JournalTooNew):
            noticed += 1
            continue
        for run, events in truth.items():
            try:
                assert journal.events(run) == events
            except JournalCorrupt:
                noticed += 1
        journal.close()
    assert noticed > 100


def test_a_whole_event_of_an_unknown_form_asks_for_an_upgrade(opened, monkeypatch):
    unknown = b'{"type":"moon.rose","at":1.0}'
    monkeypatch.setattr("greenroom.journal.append_check.encode_events", lambda _events: [unknown])
    journal = opened()
    assert Client(journal).append("r", 0, changed(1)) is None
    with pytest.raises(JournalTooNew, match=r"event 1 of run r .*whole but of no form.*upgrade greenroom"):
        journal.events("r")


TWICE = """
    INSERT INTO runs SELECT 9, 'r2', workflow, app, status, started_at, updated_at, ended_at, parent, reason, 0, head,
    kind, wake_seq, aside, keys, seal FROM runs WHERE id = 'r'
"""


def test_the_same_large_content_is_stored_once(opened):
    journal = opened()
    client = Client(journal)
    for run_id in ("a", "b"):
        assert client.append(run_id, 0, changed("x" * 100_000), changed("x" * 100_000)) is None
    plain = apsw.Connection(str(journal.path), flags=apsw.SQLITE_OPEN_READONLY)
    assert plain.execute("SELECT count(*), max(length(body)) FROM blobs").fetchall() == [
        (1, len(encode_event(changed("x" * 100_000))))
    ]
    assert plain.execute("SELECT count(*), count(body) FROM event_lines").fetchall() == [(4, 0)]
    plain.close()
    assert journal.events("b")[1].event == changed("x" * 100_000)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("UPDATE runs SET status = 'runnhng' WHERE id = 'r'", "do not add up"),
        ("UPDATE runs SET kind = 'rul' WHERE id = 'r'", "do not add up"),
        ("UPDATE runs SET last_seq = 5 WHERE id = 'r'", "do not add up"),
        ("DELETE FROM runs WHERE id = 'r'", "do not add up"),
        ("DELETE FROM runs WHERE id = 'other'", "do not add up"),
        (TWICE, "do not add up"),
        ("UPDATE runs SET app = 'apq.py' WHERE id = 'r'", "run r: its line in the index"),
        ("UPDATE runs SET wake_seq = 4 WHERE id = 'r'", "run r: its line in the index"),
        ("UPDATE runs SET seal = seal + 1 WHERE id = 'r'", "run r: its line in the index"),
        ("UPDATE runs SET workflow = CAST(x'ff' AS TEXT) WHERE id = 'r'", "run r: its line in the index"),
        ("UPDATE timers SET due = 51.0", "timers"),
        ("UPDATE timers SET key = 'l'", "timers"),
        ("UPDATE timers SET key = CAST(x'ff' AS TEXT)", "timers"),
        ("DELETE FROM timers", "timers"),
        ("INSERT INTO timers SELECT 'other', key, due FROM timers", "timers"),
        ("UPDATE marks SET seq = 5 WHERE kind = 'approval'", "marks"),
        ("DELETE FROM marks WHERE kind = 'approval'", "marks"),
        ("UPDATE runs SET aside = aside + 1 WHERE id = 'r'", "run r: its line in the index"),
    ],
)
def test_what_no_chain_protects_is_looked_at_when_a_journal_is_opened_and_made_anew(opened, path, sql, sentence):
    journal = opened()
    mark, timer = Mark("r", "approval", "ask", 4), Timer("r", "k", 50.0)
    assert Client(journal).append("r", 6, timers_set=[timer], marks_set=[mark]) is None
    assert (journal.quick_faults(["running"]), journal.verify()) == ([], [])
    before = {each.id: each for each in journal.runs()}
    journal.close()
    edit(path, sql)
    journal = opened(read_only=True)
    assert sentence in journal.quick_faults(["running"])[0].sentence
    assert journal.verify()
    for each in journal.runs():
        assert each.damaged or each == before[each.id]
    journal.close()
    journal = opened()
    lines = [Append(id_, 0, (), before[id_]) for id_ in journal.entries()]
    lines[0] = replace(lines[0], timers_set=[timer], marks_set=[mark])
    journal.rebuild(lines)
    assert (journal.quick_faults(["running"]), journal.verify()) == ([], [])
    assert {each.id: each for each in journal.runs()} == before
    assert journal.timers() == [timer]
    assert journal.marks("approval") == [mark]
    assert (
        Client(journal).append("r", 6, changed("more"), timers_cleared=["k"], marks_cleared=[("approval", "ask")])
        is None
    )
    assert (journal.quick_faults(["running"]), journal.verify()) == ([], [])


def test_a_key_of_a_message_that_has_changed_is_found_by_verify(opened, path):
    journal = opened()
    assert Client(journal).append("r", 6, marks_set=[Mark("r", "message", "once", 4)]) is None
    journal.close()
    edit(path, "UPDATE marks SET name = 'nnce'")
    assert opened().verify() == ["run r: the keys of its messages are not what was written"]


def test_one_damaged_line_does_not_break_a_list_and_is_an_error_where_it_is_asked_for(opened, path):
    edit(path, "UPDATE runs SET workflow = CAST(x'ff' AS TEXT) WHERE id = 'r'")
    journal = opened()
    found = {each.id: each for each in journal.runs()}
    assert not found["other"].damaged
    assert found["r"].damaged
    assert found["r"].status == "parked"
    assert "greenroom db reindex" in (found["r"].reason or "")
    assert journal.run("other") is not None
    with pytest.raises(JournalCorrupt, match=r"line of run r in the index.*greenroom db reindex"):
        journal.run("r")
    assert len(journal.events("r")) == 6


def test_a_line_that_is_older_than_its_events_is_noticed_when_they_are_read(opened, path):
    """As after a page that was never written: it is whole, and of yesterday."""
    journal = opened()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE older AS SELECT * FROM runs WHERE id = 'r'")
    connection.close()
    assert Client(journal).append("r", 6, changed("seventh")) is None
    journal.close()
    edit(path, "DELETE FROM runs WHERE id = 'r'; INSERT INTO runs SELECT * FROM older; DROP TABLE older")
    journal = opened()
    with pytest.raises(JournalCorrupt, match="line of run r in the index"):
        journal.events("r")
    assert journal.quick_faults([])


@pytest.mark.parametrize("value", ["'text'", "7", "x'00'", "1.5"])
@pytest.mark.parametrize("column", ["hash", "body", "type", "at", "blob", "seq"])
def test_verify_survives_values_of_another_type(opened, path, column, value):
    edit(path, f"UPDATE event_lines SET {column} = {value} WHERE run_id = 'r' AND seq = 3")
    found = list(opened().faults())
    assert found
    assert {each.run_id for each in found if each.event == 3} == {"r"}


def test_verify_survives_a_line_without_an_id(opened, path):
    """One bit is enough to make NULL of a short text; SQLite itself does not let it happen."""
    whole = path.read_bytes()
    at = whole.index(b"otherresearch")
    for back in range(1, 40):
        rotten = bytearray(whole)
        rotten[at - back] = 0
        path.write_bytes(rotten)
        try:
            journal = opened(read_only=True)
        except JournalCorrupt:
            continue
        assert isinstance(journal.verify(), list)
        journal.close()


def test_an_older_journal_is_sealed_when_it_is_opened(opened, path):
    make_older(path, 3)
    edit(
        path,
        "ALTER TABLE runs DROP COLUMN seal; ALTER TABLE runs DROP COLUMN aside; ALTER TABLE runs DROP COLUMN keys;"
        "INSERT INTO timers VALUES ('r', 'k', 50.0); PRAGMA user_version = 2",
    )
    journal = opened()
    assert (journal.quick_faults(["running"]), journal.verify()) == ([], [])
    assert len(journal.runs()) == 2
    assert Client(journal).append("r", 6, timers_cleared=["k"]) is None
    assert journal.verify() == []


def test_a_run_that_begins_while_it_is_looked_for_is_found_and_not_taken_for_damaged(opened, monkeypatch):
    journal = opened()
    client = Client(journal)

    class Racing:
        """A connection before whose second question the run begins."""

        def __init__(self, connection: Database) -> None:
            self._connection = connection

        def execute(self, query: str, *bindings: object) -> object:
            if query == FIRST:
                assert client.append("new", 0, started("new")) is None
            return self._connection.execute(query, *bindings)

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

    reader = journal._reader
    connect = reader._connect
    monkeypatch.setattr(reader, "_connect", lambda: Racing(connect()))
    reader._close_idle()  # whatever it reads with next is one of these
    found = journal.run("new")
    assert found is not None
    assert found.id == "new"
    reader._close_idle()
