"""A journal that has lost its end is refused, and no other is."""

import random
import re
import shutil
from pathlib import Path

import apsw
import pytest

from greenroom.journal.integrity.reach import ReachFile, reach_path, read_reach
from greenroom.messages.core.errors import JournalCorrupt
from tests.journal.appends import Client, changed, started
from tests.journal.sqlite.test_crash import acknowledged, check, write
from tests.support import eventually

pytestmark = pytest.mark.timeout(180)

SUFFIXES = ("", "-wal", "-shm", ".reach")


class Killed:
    """What a killed writer left. Whatever a test does to it, the next one gets the same files again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = Path(f"{path}-wal")
        self.newest = acknowledged(write(path, "process", seed=3, kill_after=120))
        self._bytes = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in SUFFIXES}
        assert len(self._bytes["-wal"]) > 100_000

    def restore(self) -> None:
        """Put every byte back, into the same files where they are still there."""
        for suffix, content in self._bytes.items():
            Path(f"{self.path}{suffix}").write_bytes(content)


@pytest.fixture(scope="module")
def once_killed(tmp_path_factory):
    return Killed(tmp_path_factory.mktemp("killed") / "journal.db")


@pytest.fixture
def killed(once_killed):
    """Give the files of a writer that was killed after 120 acknowledgements."""
    once_killed.restore()
    return once_killed


def acknowledged_lines(killed: Killed) -> int:
    """Count the lines of the acknowledged events."""
    connection = apsw.Connection(str(killed.path), flags=apsw.SQLITE_OPEN_READONLY)
    query = "SELECT count(*) FROM event_lines WHERE run_id = ? AND seq <= ?"
    count = sum(int(connection.execute(query, item).get) for item in killed.newest.items())
    connection.close()
    return count


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_flipped_bit_in_the_log_of_a_killed_writer_never_loses_what_was_acknowledged(opened, killed, read_only):
    chance = random.Random(5)
    refused = 0
    for _ in range(30):
        killed.restore()
        flip(killed.wal, chance)
        try:
            journal = opened(killed.path, read_only=read_only)
        except JournalCorrupt as error:
            assert "greenroom db accept-loss" in str(error)  # noqa: PT017  most are refused, some are harmless
            refused += 1
            continue
        check(journal, killed.newest)
        journal.close()
    assert refused > 20


def test_a_log_that_was_deleted_is_missed_and_the_loss_can_be_accepted(opened, killed):
    known = acknowledged_lines(killed)
    killed.wal.unlink()
    with pytest.raises(
        JournalCorrupt, match=r"shorter than it was: its events end at line \d+, and line \d+ had been"
    ) as caught:
        opened(killed.path)
    held, noted = (int(number) for number in re.findall(r"line (\d+)", str(caught.value)))
    assert held < known <= noted
    with pytest.raises(JournalCorrupt, match="shorter than it was"):  # it was left as it is
        opened(killed.path, read_only=True)
    before = read_reach(killed.path)
    journal = opened(killed.path, accept_loss=True)
    assert journal.verify() == []
    assert before is not None
    assert journal.epoch > before.epoch  # no token of what was lost is given out again
    journal.close()
    assert opened(killed.path).verify() == []


def test_a_log_that_was_cut_short_is_missed(opened, killed):
    whole = killed.wal.read_bytes()
    killed.wal.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JournalCorrupt, match="shorter than it was"):
        opened(killed.path)


def test_an_older_copy_in_the_place_of_a_journal_that_was_killed_is_missed(opened, killed, tmp_path):
    journal = opened(tmp_path / "older.db")
    assert Client(journal).append("r", 0, started("r")) is None
    journal.close()
    killed.wal.unlink()
    killed.path.write_bytes(journal.path.read_bytes())
    with pytest.raises(JournalCorrupt, match="its events end at line 1, and line .* had been acknowledged.*older copy"):
        opened(killed.path)


def test_a_journal_that_was_closed_says_itself_where_its_end_is(opened):
    journal = opened()
    assert Client(journal).append("r", 0, started("r")) is None
    assert Client(journal).append("r", 1, changed("last")) is None
    journal.close()
    edit = apsw.Connection(str(journal.path))
    edit.execute("DELETE FROM event_lines WHERE seq = 2")
    edit.close()
    with pytest.raises(JournalCorrupt, match="its events end at line 1, and line 2 had been acknowledged"):
        opened()
    with pytest.raises(JournalCorrupt, match="its events end at line 1, and line 2 had been acknowledged"):
        opened(read_only=True)


def test_another_journal_of_the_same_length_in_its_place_is_missed(opened, tmp_path):
    for name, value in (("journal.db", "mine"), ("other.db", "another's")):
        journal = opened(tmp_path / name)
        assert Client(journal).append("r", 0, started("r"), changed(value)) is None
        note = reach_path(journal.path).read_bytes()
        journal.close()
    (tmp_path / "journal.db.reach").write_bytes(note)
    with pytest.raises(JournalCorrupt, match="line 1 of its events is not the one"):
        opened()


def test_a_note_that_is_gone_after_a_kill_is_missed_and_one_flipped_bit_in_it_is_harmless(opened, killed):
    chance = random.Random(9)
    for _ in range(30):
        killed.restore()
        flip(reach_path(killed.path), chance)
        check(opened(killed.path, read_only=True), killed.newest)
    reach_path(killed.path).unlink()
    with pytest.raises(JournalCorrupt, match="nobody can tell whether the end"):
        opened(killed.path)
    reach_path(killed.path).write_bytes(b"rubbish" * 1000)
    with pytest.raises(JournalCorrupt, match="missing or damaged"):
        opened(killed.path, read_only=True)
    check(opened(killed.path, accept_loss=True), killed.newest)


def test_copies_open_anywhere_with_and_without_the_note(opened, killed, tmp_path):
    for number, suffixes in enumerate([("", "-wal"), ("", "-wal", ".reach"), SUFFIXES]):
        copy = tmp_path / str(number) / "copy.db"
        copy.parent.mkdir()
        for suffix in suffixes:
            shutil.copy(f"{killed.path}{suffix}", f"{copy}{suffix}")
        check(opened(copy, read_only=True), killed.newest)
        check(opened(copy), killed.newest)
    source, backup = apsw.Connection(str(killed.path)), apsw.Connection(str(tmp_path / "backup.db"))
    with backup.backup("main", source, "main") as copying:
        copying.step()
    source.close(force=True)
    backup.close()
    check(opened(tmp_path / "backup.db"), killed.newest)


def test_a_journal_that_was_closed_needs_neither_log_nor_note(opened, tmp_path):
    journal = opened()
    assert Client(journal).append("r", 0, started("r")) is None
    journal.close()
    assert [each.name for each in tmp_path.iterdir()] == ["journal.db"]
    assert len(opened(read_only=True).events("r")) == 1
    assert len(opened().events("r")) == 1


def test_a_journal_of_an_older_version_gets_its_note_when_it_is_opened(opened):
    journal = opened()
    assert Client(journal).append("r", 0, started("r")) is None
    journal.close()
    connection = apsw.Connection(str(journal.path))
    connection.execute("DELETE FROM meta WHERE name IN ('place', 'closed')")
    connection.close()
    assert len(opened(read_only=True).events("r")) == 1
    journal = opened()
    found = read_reach(journal.path)
    assert found is not None
    assert (found.epoch, found.lines) == (2, 1)


def test_who_deletes_a_whole_journal_may_begin_a_new_one(opened):
    journal = opened()
    assert Client(journal).append("r", 0, started("r")) is None
    journal.close()
    journal.path.unlink()
    journal = opened()
    assert journal.runs() == []
    assert journal.epoch == 1
    journal.close()
    opened()


def test_a_quiet_journal_does_not_live_in_its_log(opened, tmp_path):
    journal = opened()
    assert Client(journal).append("r", 0, started("r"), changed("x" * 1000)) is None
    assert eventually(lambda: Path(f"{journal.path}-wal").stat().st_size == 0, 30, what="an empty log")
    shutil.copy(journal.path, tmp_path / "alone.db")
    assert len(opened(tmp_path / "alone.db", read_only=True).events("r")) == 2


def test_after_a_restart_of_the_machine_only_what_was_synced_has_to_be_there(tmp_path, monkeypatch):
    """With durability "process" the note may reach the disk before the commit that it tells of."""
    boot = bytes(range(16))
    monkeypatch.setattr("greenroom.journal.integrity.reach.this_boot", lambda: boot)
    note = ReachFile(tmp_path / "journal.db")
    note.write(2, 50, b"n" * 32, 40, b"s" * 32)
    found = read_reach(tmp_path / "journal.db")
    assert found is not None
    assert (found.lines, found.head) == (50, b"n" * 32)
    monkeypatch.setattr("greenroom.journal.integrity.reach.this_boot", lambda: bytes(16))
    found = read_reach(tmp_path / "journal.db")
    assert found is not None
    assert (found.lines, found.head) == (40, b"s" * 32)
    note.close()


@pytest.mark.parametrize(("durability", "synced"), [("full", 2), ("process", 1)])
def test_each_durability_notes_what_it_has_synced(opened, tmp_path, durability, synced):
    journal = opened(durability=durability)
    client = Client(journal)
    assert client.append("r", 0, started("r"), changed(1)) is None
    assert eventually(lambda: (found := read_reach(journal.path)) and found.synced == 1, 30, what="a checkpoint")
    assert client.append("r", 2, changed(2)) is None
    found = read_reach(journal.path)
    assert found is not None
    assert (found.lines, found.synced) == (2, synced)
