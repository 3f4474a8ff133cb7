"""The sums over events that a journal saves: with the newer events they always give a fold of all events."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import Append, Journal
from greenroom.journal.sqlite import account_keeper, group_commit
from greenroom.journal.sqlite.account import SavedAccount
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.core.errors import JournalCorrupt
from greenroom.metrics.figure_records import Metrics
from greenroom.metrics.ledger import Ledger
from greenroom.workflows.queries.reader import JournalQueries
from tests.journal.appends import row
from tests.journal.older import make_older
from tests.metrics.at_once import figures_at_once
from tests.metrics.histories import interleaved
from tests.metrics.test_ledger import rounded
from tests.support import eventually

SAVED = "SELECT coalesce(max(upto), 0) FROM figures"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save sums often, and read soon what was not counted."""
    monkeypatch.setattr(account_keeper, "EVERY", 50)
    monkeypatch.setattr(account_keeper, "JOINED", 4)
    monkeypatch.setattr(account_keeper, "SLICE", 20)
    monkeypatch.setattr(group_commit, "QUIET", 0.01)
    monkeypatch.setattr(group_commit, "MAX_GROUP", 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def appends(seed: int, length: int, prefix: str = "") -> Iterator[Append]:
    """Give appends of some runs, and of sessions beside them whose steps must not count."""
    for history, seq, events in interleaved(random.Random(seed), runs=5, length=length):
        for run_id, kind in ((prefix + history.run_id, "run"), (f"{prefix}chat/{history.run_id}", "session")):
            yield Append(run_id, seq - 1, events, row(run_id, workflow=history.workflow, kind=kind))


def first_appends(seed: int, length: int) -> list[Append]:
    """Give the first append of each entry."""
    return list({append.run_id: append for append in appends(seed, length)}.values())


def write(path: Path, seed: int, length: int = 100, prefix: str = "", *, new_ledger: Any = Ledger) -> None:
    """Write runs, and close the journal."""
    journal = SqliteJournal(path, durability="process", new_ledger=new_ledger)
    for append in appends(seed, length, prefix):
        journal.append(append)
    journal.close()


def at_once(journal: Journal) -> Metrics:
    rows = journal.runs(kind="run", limit=None)
    return figures_at_once((each.workflow, stored_events(journal, each.id)) for each in rows)


def check(path: Path) -> list[str]:
    """Compare the figures of a journal with a fold of all its events. Return the warnings."""
    journal = SqliteJournal(path, read_only=True)
    try:
        said: list[str] = []
        metrics = JournalQueries(journal, said.append).metrics()
        assert rounded(metrics) == rounded(at_once(journal))
        assert metrics.totals.runs >= 5
        assert metrics.totals.attempts > 0
        return said
    finally:
        journal.close()


def ask(path: Path, query: str) -> Any:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(30_000)
    try:
        return connection.execute(query).get
    finally:
        connection.close()


def lacking(path: Path) -> int:
    """Return how many lines of events the saved sums lack."""
    return int(ask(path, f"SELECT count(*) - ({SAVED}) FROM event_lines"))


@pytest.mark.parametrize("seed", range(8))
def test_saved_sums_and_newer_events_give_the_figures_of_all_events(path, seed):
    write(path, seed)
    assert check(path) == []
    assert lacking(path) < 50
    write(path, seed + 100, prefix="later-")
    assert check(path) == []
    assert ask(path, SAVED) > 100


def test_runs_that_go_on_in_another_process_are_counted_on(path, monkeypatch):
    monkeypatch.setattr(account_keeper, "EAGER", 0)
    everything = list(appends(1, 300))
    for start in range(0, len(everything), 30):
        journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
        for append in everything[start : start + 30]:
            journal.append(append)
        journal.close()
        assert check(path) == []
    assert ask(path, SAVED) > 400


def test_lines_are_joined_so_that_there_are_few(path):
    write(path, 5, length=1_000)
    assert check(path) == []
    assert 1 < ask(path, "SELECT count(*) FROM figures") < ask(path, SAVED) / (50 * 4) + 4


def test_a_line_about_many_events_leaves_those_before_it_as_they_are(path, monkeypatch):
    monkeypatch.setattr(SavedAccount, "drop", lambda _self: pytest.fail("the sums were dropped"))
    monkeypatch.setattr(account_keeper, "EAGER", 100)
    for seed, group in enumerate([5, 100, 5, 100, 5]):
        monkeypatch.setattr(group_commit, "MAX_GROUP", group)
        write(path, seed, length=300, prefix=f"{seed}-")
        assert check(path) == []
    assert ask(path, "SELECT count(*) FROM figures WHERE upto - since >= 50 * 4") > 1
    assert lacking(path) < 50


def test_a_journal_of_an_older_version_is_counted_in_the_background(path):
    write(path, 6, length=500, new_ledger=None)
    make_older(path, 3)
    journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
    try:
        total = sum(each.last_seq for each in journal.runs(limit=None))
        assert total > 1_000
        assert rounded(JournalQueries(journal).metrics()) == rounded(at_once(journal))  # it reads what is not counted
        eventually(lambda: ask(path, SAVED) > total - 50, 30)
        for append in appends(7, 100, "new-"):
            journal.append(append)
        eventually(lambda: ask(path, SAVED) > total, 30)
    finally:
        journal.close()
    assert check(path) == []


def test_a_writer_that_lives_for_a_moment_leaves_earlier_events_to_others(path, monkeypatch):
    monkeypatch.setattr(account_keeper, "EAGER", 10_000)
    monkeypatch.setattr(group_commit, "QUIET", 1_000.0)
    write(path, 1, new_ledger=None)
    write(path, 2, prefix="more-")
    assert ask(path, SAVED) == 0
    assert check(path) == []


def test_under_load_earlier_events_are_counted_nevertheless(path, monkeypatch):
    monkeypatch.setattr(group_commit, "QUIET", 1_000.0)
    monkeypatch.setattr(account_keeper, "EAGER", 100)
    write(path, 1, length=300, new_ledger=None)
    write(path, 2, length=1_000, prefix="more-")
    assert check(path) == []
    assert lacking(path) < 50


WRITING = """
import sys
from dataclasses import replace
from pathlib import Path
from greenroom.journal.sqlite import account_keeper, group_commit
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.metrics.ledger import Ledger
from tests.journal.sqlite.test_account import appends
account_keeper.EVERY, account_keeper.JOINED, account_keeper.EAGER = 50, 4, 0
group_commit.MAX_GROUP = 5  # otherwise all could be acknowledged by one commit, and killed before the count of it
journal = SqliteJournal(Path(sys.argv[1]), durability="process", new_ledger=Ledger)
for number in range(1000):
    for append in appends(number, 50, f"{sys.argv[2]}-{number}-"):
        journal.append(replace(append, done=lambda error: print(1, flush=True)))
journal.close()
"""


def test_after_kill_9_at_any_moment_the_figures_are_those_of_what_was_committed(path):
    chance = random.Random(9)
    for number in range(5):
        command = [sys.executable, "-c", WRITING, str(path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for _ in range(chance.randint(60, 400)):
                assert process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        assert check(path) == []
    assert ask(path, SAVED) > 400
    write(path, 1, prefix="after-")
    assert check(path) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE figures SET sums = replace(sums, '1', '2')",
        "UPDATE figures SET durations = zeroblob(length(durations))",
        "DELETE FROM figures WHERE upto = (SELECT min(upto) FROM figures)",
        "UPDATE figures SET upto = upto + 1 WHERE upto = (SELECT max(upto) FROM figures)",
        "UPDATE figures SET sums = CAST(x'ff' AS TEXT)",
    ],
)
def test_damaged_sums_are_reported_and_not_used(path, damage):
    write(path, 3, length=230)
    assert ask(path, "SELECT count(*) FROM figures") > 1
    ask(path, f"{damage}; SELECT 1")
    (said,) = check(path)
    assert "the saved sums over events are damaged" in said
    journal = SqliteJournal(path, read_only=True)
    assert {fault.kind for fault in journal.faults()} & {"figures", "sqlite"}
    journal.close()
    journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
    eventually(lambda: journal.verify() == [] and lacking(path) in range(50), 30)
    journal.close()
    assert check(path) == []


def test_damage_that_is_found_when_lines_are_joined_makes_the_sums_anew(path, monkeypatch):
    monkeypatch.setattr(account_keeper, "EAGER", 0)
    journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
    everything = list(appends(3, 700))
    for append in everything[:150]:
        journal.append(append)
    eventually(lambda: ask(path, "SELECT count(*) FROM figures WHERE upto - since < 200"), 30)
    ask(path, "UPDATE figures SET sums = replace(sums, '1', '2') WHERE upto - since < 200; SELECT 1")
    for append in everything[150:]:
        journal.append(append)
    journal.close()
    assert check(path) == []
    assert lacking(path) < 50


def test_a_new_index_comes_with_new_sums(path):
    write(path, 3, length=230)
    journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
    journal.rebuild([replace(append, events=()) for append in first_appends(3, 230)])
    journal.append(next(appends(4, 1, "new-")))
    eventually(lambda: lacking(path) in range(50), 30)
    journal.close()
    assert check(path) == []


def test_a_lost_newest_line_is_counted_again(path, monkeypatch):
    monkeypatch.setattr(account_keeper, "EAGER", 0)
    write(path, 3, length=230)
    before = ask(path, SAVED)
    ask(path, f"DELETE FROM figures WHERE upto = ({SAVED}); SELECT 1")
    assert check(path) == []
    write(path, 4, prefix="more-")
    assert check(path) == []
    assert ask(path, SAVED) > before


def test_a_damaged_state_of_a_run_is_folded_from_its_events(path, monkeypatch):
    monkeypatch.setattr(account_keeper, "EAGER", 0)
    everything = list(appends(4, 200))
    for part in (everything[:150], everything[150:]):
        journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
        for append in part:
            journal.append(append)
        journal.close()
        assert ask(path, "SELECT count(*) FROM figure_runs") > 0
        ask(path, "UPDATE figure_runs SET state = '[]'; SELECT 1")
    assert check(path) == []


def test_a_damaged_event_that_is_not_counted_yet_stops_no_append(path):
    write(path, 3, length=100, new_ledger=None)
    ask(path, "UPDATE event_lines SET body = replace(body, '100', '101') WHERE body LIKE '%run.started%'; SELECT 1")
    journal = SqliteJournal(path, durability="process", new_ledger=Ledger)
    try:
        for append in appends(8, 50, "new-"):
            journal.append(append)
        answered = threading.Event()
        last = next(appends(9, 1, "last-"))
        journal.append(Append(last.run_id, 0, last.events, last.row, done=lambda _error: answered.set()))
        assert answered.wait(30)
        with pytest.raises(JournalCorrupt, match="it is not what was written"):
            JournalQueries(journal).metrics()
    finally:
        journal.close()


def test_sums_over_events_that_were_lost_are_not_used(path):
    write(path, 3, length=100)
    ask(path, f"DELETE FROM event_lines WHERE rowid >= ({SAVED}); SELECT 1")
    journal = SqliteJournal(path, durability="process", accept_loss=True, new_ledger=Ledger)
    with journal.account() as account:
        assert account.sums() is None
    eventually(lambda: ask(path, "SELECT count(*) FROM figures WHERE since = 0") == 1, 30)
    eventually(lambda: lacking(path) in range(50), 30)
    journal.close()
