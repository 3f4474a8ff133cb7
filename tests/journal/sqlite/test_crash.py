"""Killed writers and full disks: nothing that was acknowledged is lost, nothing is acknowledged after a failure."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalFull
from tests.journal.appends import Client
from tests.journal.writing import RUNS, content

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def write(
    path: Path, durability: str, seed: int, *, kill_after: int | None = None, limit: int | None = None
) -> list[str]:
    """Run a writer, kill it after so many acknowledgements or let it end, and give every line it has said."""
    command = [sys.executable, "-m", "tests.journal.writing", str(path), durability, str(seed)]
    with subprocess.Popen(
        command + ([] if limit is None else [str(limit)]), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if len(said) == kill_after:
                process.kill()  # it goes on for an instant: what it still says counts
        assert process.wait(30) == (0 if kill_after is None else -9)
    return said


def acknowledged(said: list[str]) -> dict[str, int]:
    """Give each run's newest acknowledged event."""
    newest: dict[str, int] = {}
    for line in said:
        run_id, seq = line.split(" ", 1)
        if seq.strip().isdecimal():
            newest[run_id] = int(seq)
    return newest


def check(journal: SqliteJournal, newest: dict[str, int]) -> None:
    """Look that everything acknowledged is there, that it is what was written, and that the chains are whole."""
    assert journal.verify() == []
    for run_id in (f"r{number}" for number in range(RUNS)):
        stored = journal.events(run_id)
        assert [each.seq for each in stored] == list(range(1, len(stored) + 1))
        assert all(each.event == content(run_id, each.seq) for each in stored)
        assert len(stored) >= newest.get(run_id, 0)


@pytest.mark.parametrize("durability", ["full", "process"])
def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path, durability):
    path = tmp_path / "journal.db"
    chance = random.Random(durability)
    newest: dict[str, int] = {}
    for epoch in range(1, 7):
        said = write(path, durability, seed=epoch, kill_after=chance.randint(1, 400))
        newest |= acknowledged(said)
        if epoch % 2:  # in between, the next writer recovers the log itself
            continue
        journal = SqliteJournal(path, read_only=True)
        check(journal, newest)
        assert journal.epoch == epoch
        journal.close()


def test_a_kill_while_the_file_is_made_leaves_something_that_opens(tmp_path):
    script = "import sys; print(flush=True)\nfrom greenroom.journal.sqlite.journal import SqliteJournal\nSqliteJournal(sys.argv[1])"
    for number in range(10):
        path = tmp_path / f"{number}" / "journal.db"
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            while process.poll() is None and not path.exists():
                pass
            process.kill()
        journal = SqliteJournal(path)
        assert journal.epoch in {1, 2}
        assert journal.verify() == []
        journal.close()


@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("limit", [40_000, 333_333, 2_000_000])
def test_a_full_disk_ends_the_journal_and_loses_nothing(tmp_path, durability, limit):
    path = tmp_path / "journal.db"
    said = write(path, durability, seed=limit, limit=limit)
    first = next(number for number, line in enumerate(said) if line.startswith("Journal"))
    assert set(said[first:]) == {said[first]}
    assert said[first].startswith(f"JournalFull the journal {path} may not become longer (File too large)")
    assert "`ulimit -f unlimited`, and start again" in said[first]
    journal = SqliteJournal(path)
    check(journal, acknowledged(said))
    found = journal.run("r1")
    last = found.last_seq if found else 0
    assert Client(journal).append("r1", last, content("r1", last + 1)) is None
    check(journal, {"r1": last + 1})
    journal.close()


def test_a_limit_of_the_length_of_files_is_named_with_what_lifts_it(tmp_path):
    script = (
        "import resource, sys\n"
        "from greenroom.journal.sqlite.journal import SqliteJournal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "try:\n    SqliteJournal(sys.argv[1])\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    path = tmp_path / "journal.db"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith(f"{JournalFull.__name__} the journal {path} may not become longer (File too large)")
    assert "`ulimit -f unlimited`" in done.stdout
    journal = SqliteJournal(path)
    assert journal.verify() == []
    journal.close()
