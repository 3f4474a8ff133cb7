"""Rot and tampering: what is stored is never taken for what was written."""

import random
from pathlib import Path

import apsw
import pytest

from tests.journal.appends import Client, changed, started
from understudy.messages.codec import encode_event
from understudy.messages.errors import JournalCorrupt, JournalTooNew


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
    UPDATE events SET run_id = 'x' WHERE run_id = 'r' AND seq < 3;
    UPDATE events SET run_id = 'r' WHERE run_id = 'other';
"""


@pytest.mark.parametrize(
    ("sql", "seq"),
    [
        ("UPDATE events SET body = replace(body, 'fourth', 'forged') WHERE run_id = 'r'", 4),
        ("UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE run_id = 'r' AND seq = 4", 4),
        ("UPDATE events SET body = NULL WHERE run_id = 'r' AND seq = 4", 4),
        ("UPDATE events SET hash = zeroblob(32) WHERE run_id = 'r' AND seq = 5", 5),
        ("UPDATE events SET hash = zeroblob(32) WHERE run_id = 'r' AND seq = 6", 6),
        ("DELETE FROM events WHERE run_id = 'r' AND seq = 1", 1),
        ("DELETE FROM events WHERE run_id = 'r' AND seq = 4", 4),
        ("DELETE FROM events WHERE run_id = 'r' AND seq > 4", 5),
        ("DELETE FROM events WHERE run_id = 'r'", 1),
        ("UPDATE events SET seq = seq + 10 WHERE run_id = 'r' AND seq > 3", 4),
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
    with pytest.raises(JournalCorrupt, match=rf"event {seq} of run r in the journal .*understudy db verify"):
        journal.events("r")
    assert any("run r" in sentence for sentence in journal.verify())


def test_the_other_runs_of_a_damaged_journal_are_read_as_before(opened, path):
    edit(path, "UPDATE events SET body = replace(body, 'fourth', 'forged') WHERE run_id = 'r'")
    journal = opened()
    assert len(journal.events("other")) == 2
    assert journal.run("r") is not None
    assert Client(journal).append("other", 2, changed(3)) is None
    assert journal.verify() == ["run r: event 4 is not what was written"]


def test_a_read_from_the_middle_checks_from_the_event_before_it(opened, path):
    edit(path, "UPDATE events SET body = replace(body, 'fourth', 'forged') WHERE run_id = 'r'")
    journal = opened()
    with pytest.raises(JournalCorrupt, match="event 4"):
        journal.events("r", after=3)
    assert len(journal.events("r", limit=3)) == 3
    edit(path, "DELETE FROM events WHERE run_id = 'r' AND seq = 5")
    with pytest.raises(JournalCorrupt, match="event 5"):
        journal.events("r", after=5)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("DELETE FROM runs WHERE id = 'other'", "run other has 2 events and no line in the index"),
        ("UPDATE events SET type = 'run.failed' WHERE run_id = 'other' AND seq = 2", "columns beside event 2 differ"),
        ("UPDATE events SET at = 9 WHERE run_id = 'other' AND seq = 2", "run other: the columns beside event 2 differ"),
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
    monkeypatch.setattr("understudy.journal.prepare.encode_event", lambda _event: b'{"type":"moon.rose","at":1.0}')
    journal = opened()
    assert Client(journal).append("r", 0, changed(1)) is None
    with pytest.raises(JournalTooNew, match=r"event 1 of run r .*whole but of no form.*upgrade understudy"):
        journal.events("r")


def test_the_same_large_content_is_stored_once(opened):
    journal = opened()
    client = Client(journal)
    for run_id in ("a", "b"):
        assert client.append(run_id, 0, changed("x" * 100_000), changed("x" * 100_000)) is None
    plain = apsw.Connection(str(journal.path), flags=apsw.SQLITE_OPEN_READONLY)
    assert plain.execute("SELECT count(*), max(length(body)) FROM blobs").fetchall() == [
        (1, len(encode_event(changed("x" * 100_000))))
    ]
    assert plain.execute("SELECT count(*), count(body) FROM events").fetchall() == [(4, 0)]
    plain.close()
    assert journal.events("b")[1].event == changed("x" * 100_000)
