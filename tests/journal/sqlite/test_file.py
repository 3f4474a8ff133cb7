"""Where the SQLite journal lies: making it, refusing what is unfit, noticing that it has gone."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from greenroom.journal.interface import Stored
from greenroom.journal.sqlite.errors import JournalUnused
from greenroom.journal.sqlite.file import file_system, make_file, refuse_network
from greenroom.messages.core.errors import (
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalTooNew,
    OrchestratorClosed,
)
from tests.journal.appends import Client, changed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_and_the_directories_above_it_are_made_for_their_owner_only(opened, tmp_path):
    path = tmp_path / "new" / "home" / "journal.db"
    journal = opened(path)
    Client(journal).append("r", 0, changed(1))
    assert [mode(each) for each in (path.parent.parent, path.parent)] == [0o700, 0o700]
    modes = {each.name: mode(each) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.reach"), 0o600)


def test_a_closed_journal_is_one_file_that_any_sqlite_can_read(opened, tmp_path):
    journal = opened()
    Client(journal).append("r", 0, changed({"n": 1}))
    journal.close()
    assert [each.name for each in tmp_path.iterdir()] == ["journal.db"]
    plain = apsw.Connection(str(journal.path), flags=apsw.SQLITE_OPEN_READONLY)
    assert plain.execute("SELECT run_id, seq, type, body ->> '$.state.n' FROM events").fetchall() == [
        ("r", 1, "state.changed", 1)
    ]
    plain.close()


def test_reopening_goes_on_where_it_stopped_in_a_new_epoch(opened):
    for epoch in (1, 2, 3):
        journal = opened()
        assert journal.epoch == epoch
        assert Client(journal).append("r", epoch - 1, changed(epoch)) is None
        assert [each.event for each in journal.events("r")] == [changed(n) for n in range(1, epoch + 1)]
        journal.close()
    assert opened(read_only=True).epoch == 3
    assert opened(read_only=True).epoch == 3


def test_its_repr_says_which_file_and_how_it_is_open(opened, tmp_path):
    journal = opened()
    assert repr(journal) == f"<SqliteJournal {tmp_path}/journal.db, epoch 1>"
    assert repr(opened(read_only=True)) == f"<SqliteJournal {tmp_path}/journal.db, read only>"


@pytest.mark.parametrize(
    "content", [b"hello", b"not a database at all, but long enough for a header" * 100, b"\0" * 4096]
)
def test_a_file_that_is_no_database_is_refused_by_name_and_left_alone(opened, tmp_path, content):
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(JournalCorrupt, match=r"journal\.db is not an SQLite database.*choose another path"):
            opened(read_only=read_only)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["journal.db"]


def test_another_programs_database_is_refused_and_left_alone(opened, tmp_path):
    path = tmp_path / "journal.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE events (x)")
    other.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(JournalCorrupt, match="another program"):
            opened(read_only=read_only)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_with_both_versions_and_the_remedy(opened):
    journal = opened()
    journal.close()
    newer = apsw.Connection(str(journal.path))
    newer.pragma("user_version", 99)
    newer.close()
    before = journal.path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(JournalTooNew, match=r"version 99.*up to 5: upgrade greenroom"):
            opened(read_only=read_only)
    assert journal.path.read_bytes() == before


def test_a_truncated_journal_is_refused_and_left_alone(opened):
    journal = opened()
    Client(journal).append("r", 0, *(changed("x" * 1000) for _ in range(100)))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[: len(whole) // 2])
    for read_only in (False, True):
        with pytest.raises(JournalCorrupt, match=r"journal\.db is damaged.*greenroom db verify"):
            opened(read_only=read_only)
    assert journal.path.read_bytes() == whole[: len(whole) // 2]


def test_a_missing_journal_cannot_be_read_and_is_not_made(opened, tmp_path):
    with pytest.raises(JournalError, match=r"no journal at .*journal\.db: check the path"):
        opened(read_only=True)
    with pytest.raises(JournalError, match="no journal at"):
        opened(tmp_path / "nowhere" / "journal.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_emptied_journal_is_refused_with_its_log_left_alone(opened):
    journal = opened()
    Client(journal).append("r", 0, changed(1))
    log = journal.path.with_name("journal.db-wal")
    left = log.read_bytes()
    journal.close()
    os.truncate(journal.path, 0)
    log.write_bytes(left)
    for read_only in (False, True):
        with pytest.raises(JournalCorrupt, match=r"journal\.db is an empty file.*backup, or remove it"):
            opened(read_only=read_only)
    assert log.read_bytes() == left
    assert opened(accept_loss=True).epoch == 1


def test_a_new_journal_is_never_an_empty_file(opened, tmp_path):
    (tmp_path / "journal.db.new").touch()  # of a process that was killed
    make_file(tmp_path / "journal.db")
    assert (tmp_path / "journal.db").stat().st_size > 0
    assert [file.name for file in tmp_path.iterdir()] == ["journal.db"]
    with pytest.raises(JournalUnused, match="still empty: start an orchestrator"):
        opened(read_only=True)
    assert opened().epoch == 1


def test_a_directory_in_the_files_place_is_refused(opened, tmp_path):
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError, match=r"journal\.db is a folder and not a file"):
        opened()


def test_nothing_can_be_appended_to_a_journal_opened_read_only(opened):
    opened()
    reader = opened(read_only=True)
    with pytest.raises(JournalError, match="read-only"):
        Client(reader).append("r", 0, changed(1))
    reader.close()
    with pytest.raises(OrchestratorClosed):
        reader.runs()


def test_a_second_writer_takes_over_and_the_first_is_fenced(opened):
    first = opened()
    one = Client(first)
    assert one.append("r", 0, changed(1)) is None
    two = Client(opened())
    assert two.append("r", 1, changed(2)) is None
    answer = one.append("r", 1, changed("late"))
    assert isinstance(answer, JournalError)
    assert "its epoch is 2, this one's was 1" in str(answer)
    assert str(one.append("other", 0, changed(1))) == str(answer)
    assert "stopped" in repr(first)
    assert two.append("r", 2, changed(3)) is None
    assert two.journal.verify() == []


def test_another_programs_changes_between_commits_are_noticed(opened):
    journal = opened()
    client = Client(journal)
    client.append("r", 0, changed(1))
    other = apsw.Connection(str(journal.path))
    other.execute("DELETE FROM event_lines; DELETE FROM runs")
    other.close()
    assert client.append("r", 0, changed("from the start")) is None
    assert journal.verify() == []


@pytest.mark.parametrize("harm", ["deleted", "moved", "replaced"])
def test_nothing_is_acknowledged_once_the_file_has_gone(opened, tmp_path, harm):
    journal = opened()
    client = Client(journal)
    client.append("r", 0, changed(1))
    if harm == "replaced":
        shutil.copy(journal.path, tmp_path / "copy")
        (tmp_path / "copy").rename(journal.path)
    elif harm == "moved":
        journal.path.rename(tmp_path / "elsewhere")
    else:
        journal.path.unlink()
    answer = client.append("r", 1, changed(2))
    assert isinstance(answer, JournalError)
    assert "moved, deleted or replaced" in str(answer)


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /home nfs4 rw 0 0
/dev/sdb1 /home/me/disk\\040one xfs rw 0 0
//box/share /home/me/share cifs rw 0 0
garbage
/dev/sdc /tmp btrfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/tmp/x", "btrfs"),
        ("/tmpfile", "ext4"),
        ("/home/me/x", "nfs4"),
        ("/home/me/disk one/x", "xfs"),
        ("/home/me/share", "cifs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_and_newest_mount_above(path, kind):
    assert file_system(Path(path), MOUNTS) == kind


def test_network_file_systems_are_refused_by_type_and_local_ones_are_not(tmp_path):
    refuse_network(tmp_path / "journal.db")
    refuse_network(Path("/var/x"), MOUNTS)
    with pytest.raises(JournalError, match=r"network file system \(nfs4\).*choose a local disk"):
        refuse_network(Path("/home/someone/x"), MOUNTS)


AS_NOBODY = """
import os, sys
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.journal.sqlite.schema import migrations
from greenroom.messages.core.errors import JournalError
migrations()  # the package itself may lie where this user cannot read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    journal = SqliteJournal(sys.argv[1], read_only=sys.argv[2] == "read")
    print(len(journal.events("r")), journal.verify())
    journal.close()
except JournalError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def as_nobody():
    """Give a function that opens a journal as a user without rights and says what came of it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")

    def run(path: Path, how: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", AS_NOBODY, str(path), how],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.stderr == ""
        return done.stdout.strip()

    return run


def test_an_archived_journal_is_read_where_nothing_may_be_written(opened, as_nobody, public):
    journal = opened(public / "journal.db")
    Client(journal).append("r", 0, changed(1))
    journal.close()
    journal.path.chmod(0o444)
    assert as_nobody(journal.path, "read") == "1 []"
    assert as_nobody(journal.path, "write").startswith(JournalFull.__name__)


def test_a_place_that_may_not_be_written_is_refused_with_the_path(as_nobody, public):
    answer = as_nobody(public / "journal.db", "write")
    assert answer.startswith(f"{JournalFull.__name__} the journal {public}/journal.db cannot be written")


def test_a_reader_sees_what_a_killed_writer_left_in_its_log(opened, tmp_path):
    script = (
        "import os, sys\n"
        "from tests.journal.appends import Client, changed\n"
        "from greenroom.journal.sqlite.journal import SqliteJournal\n"
        "assert Client(SqliteJournal(sys.argv[1])).append('r', 0, changed(1)) is None\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "journal.db"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=30)
    assert done.returncode == -9
    assert path.with_name("journal.db-wal").stat().st_size > 0
    reader = opened(read_only=True)
    assert reader.events("r") == [Stored(1, changed(1))]
    assert reader.epoch == 1


def test_a_reader_in_another_process_follows_a_living_writer(opened):
    journal = opened()
    client = Client(journal)
    client.append("r", 0, changed(0))
    script = (
        "import sys\n"
        "from greenroom.journal.sqlite.journal import SqliteJournal\n"
        "journal = SqliteJournal(sys.argv[1], read_only=True)\n"
        "for line in sys.stdin:\n"
        "    print(len(journal.events('r')), journal.verify(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(journal.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for number in range(1, 20):
            assert client.append("r", number, changed("x" * 5000)) is None
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{number + 1} []\n"
        process.stdin.close()
        assert process.wait(30) == 0
