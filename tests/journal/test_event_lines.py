"""Lines of events: whatever is appended together is read as it was, from any place on."""

import random
from itertools import pairwise

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.journal.event_lines import LINE_BYTES, bodies_in, count_in, lines_for
from greenroom.journal.interface import Append
from greenroom.journal.sqlite.connections import open_writer
from greenroom.journal.sqlite.writer import Writer
from greenroom.messages.codecs.event_codec import encode_event, encode_events
from greenroom.messages.core.errors import JournalCorrupt
from tests.journal.appends import Client, changed, row, started
from tests.journal.older import make_older

values = st.one_of(st.integers(), st.text(max_size=30), st.builds("x".__mul__, st.integers(0, 2 * LINE_BYTES)))
texts = st.one_of(values.map(changed).map(encode_event), st.just(b'{"state":[1,\n2]}'))


@given(st.lists(texts, min_size=1, max_size=40), st.integers(0, 10))
def test_lines_hold_all_events_in_order_and_short_ones_share_them(texts, before):
    lines = list(lines_for(before, texts))
    found = [each for line in lines for each in bodies_in(line.body)]
    assert found == texts
    last = before
    for line in lines:
        count = len(bodies_in(line.body))
        assert count == count_in(line.body)
        assert line.seq == last + count
        assert count == 1 or len(line.body) <= LINE_BYTES
        last = line.seq
    for one, two in pairwise(lines):
        short = [*bodies_in(one.body), bodies_in(two.body)[0]]
        assert sum(len(each) + 2 for each in short) > LINE_BYTES or any(b",\n" in each for each in short)


def history(journal, seed):
    """Append events of three runs in groups of any size. Return what each run was given."""
    chance = random.Random(seed)
    given = {run_id: [started(run_id)] for run_id in ("a", "b", "c")}
    answers = [Client(journal).send(run_id, 0, *events) for run_id, events in given.items()]
    for number in range(chance.randrange(10, 60)):
        run_id = chance.choice("abc")
        sizes = [chance.choice((1, 100, 1_900, 5_000)) for _ in range(chance.randrange(1, 6))]
        events = [changed(f"{number} {'x' * size}") for size in sizes]
        answers.append(Client(journal).send(run_id, len(given[run_id]), *events))
        given[run_id] += events
    assert [answer.get(timeout=30) for answer in answers] == [None] * len(answers)
    return given


@pytest.mark.parametrize("seed", range(6))
def test_every_part_of_a_run_is_read_as_it_was_appended(opened, seed):
    journal = opened()
    given = history(journal, seed)
    assert journal.verify() == []
    for run_id, events in given.items():
        for after in range(len(events) + 2):
            for limit in (None, 1, 2, 7):
                found = journal.events(run_id, after, limit)
                assert [each.event for each in found] == events[after:][:limit]
                assert [each.seq for each in found] == list(range(after + 1, after + 1 + len(found)))
            assert len(journal.events(run_id, after, None, 1)) >= (after < len(events))
        assert [each.event for each in journal.chain(run_id)] == events


@pytest.mark.parametrize("version", [3, 4])
def test_a_journal_of_single_events_is_read_as_it_is_and_goes_on(opened, version):
    journal = opened()
    given = history(journal, version)
    journal.close()
    make_older(journal.path, version)
    before = journal.path.read_bytes()
    old = opened(read_only=True)
    assert {run_id: [each.event for each in old.events(run_id)] for run_id in given} == given
    assert old.verify() == []
    old.close()
    assert journal.path.read_bytes() == before
    new = opened()
    assert Client(new).append("a", len(given["a"]), changed("one"), changed("two")) is None
    given["a"] += [changed("one"), changed("two")]
    assert {run_id: [each.event for each in new.events(run_id)] for run_id in given} == given
    assert (new.quick_faults([]), new.verify()) == ([], [])


def test_appends_of_a_run_that_are_committed_together_share_a_line(opened):
    """A step's events come in several appends, which are often committed at once."""
    empty = opened()
    path = empty.path
    empty.close()
    connection, epoch = open_writer(path, "process")
    writer = Writer(connection, path, epoch, synced=False)
    group = [Append("r", seq, [changed(seq)], row("r")) for seq in range(5)]
    group.insert(2, Append("other", 0, [started("other")], row("other")))
    assert writer.commit(group) == [None] * 6
    assert connection.execute("SELECT run_id, seq, number FROM event_lines").fetchall() == [
        ("r", 5, 5),
        ("other", 1, 6),
    ]
    writer.close()
    assert [each.event for each in opened().events("r")] == [changed(seq) for seq in range(5)]


def test_people_find_one_row_per_event(opened):
    journal = opened()
    given = history(journal, 1)
    journal.close()
    plain = apsw.Connection(str(journal.path), flags=apsw.SQLITE_OPEN_READONLY)
    rows = plain.execute("SELECT run_id, seq, at, type, body FROM events ORDER BY run_id, seq").fetchall()
    plain.close()
    assert rows == [
        (run_id, seq, event.at, event.type, encode_events([event])[0].decode())
        for run_id, events in given.items()
        for seq, event in enumerate(events, 1)
    ]


def test_every_flipped_bit_in_a_line_of_several_events_is_noticed(opened):
    journal = opened()
    assert Client(journal).append("r", 0, started("r"), changed("second"), changed("third")) is None
    journal.close()
    whole = journal.path.read_bytes()
    written = (started("r"), changed("second"), changed("third"))
    line = b"[%b]" % b",\n".join(encode_events(written))
    start, length = whole.index(line), len(line)
    chance = random.Random(3)
    for place in {*range(start, start + 3), *(chance.randrange(start, start + length) for _ in range(60))}:
        rotten = bytearray(whole)
        rotten[place] ^= 1 << chance.randrange(8)
        journal.path.write_bytes(rotten)
        damaged = opened(read_only=True)
        with pytest.raises(JournalCorrupt):
            damaged.events("r")
        assert damaged.verify()
        damaged.close()
