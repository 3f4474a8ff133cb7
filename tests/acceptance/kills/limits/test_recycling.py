"""What a step does to its process does not reach the next step, whoever asked for that."""

import itertools
import os
import secrets

import pytest

from greenroom import Orchestrator, Pool
from tests.acceptance.apps.limits import recycled
from tests.acceptance.harness import is_over
from tests.support import eventually, is_in_memory

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this to its process")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def start(tmp_path, home, mark):
    opened = []

    def start(**pool):
        opened.append(Orchestrator(tmp_path / "runs.db", pools={"tool": Pool(**pool)}))
        return opened[-1]

    yield start
    for orchestrator in opened:
        orchestrator.close()


@pytest.mark.parametrize(
    "how",
    [
        "descriptors",
        "all open",
        "nice",
        "thread",
        "orphans",
        "json",
        pytest.param("group", marks=as_root),
        pytest.param("groups", marks=as_root),
        pytest.param("root folder", marks=as_root),
    ],
)
def test_a_worker_that_a_step_has_spoilt_does_no_further_work(start, how):
    orchestrator = start(size=4)
    spoilt, *pids = orchestrator.start(recycled.spoiling, how, 20).result(60)
    assert spoilt not in pids
    assert sum(worker.restarts for worker in orchestrator.workers()) == 0
    assert sum(worker.replacements for worker in orchestrator.workers()) == 1


def test_a_daemon_that_its_worker_no_longer_knows_ends_with_it(start):
    daemon = start(size=1).start(recycled.leaving).result(60)
    eventually(lambda: is_over(daemon), 10, what="the end of the daemon")


def test_what_only_shows_in_failures_costs_three_of_them(start):
    orchestrator = start(size=1)
    with pytest.raises(Exception, match="broken"):
        orchestrator.start(recycled.spoiling, "state", 1).result(60)
    runs = [orchestrator.start(recycled.working, number) for number in range(10)]
    ends = [_ended(run) for run in runs]
    assert ends.count("failed") == 2
    assert ends[-8:] == ["completed"] * 8


def _ended(run):
    try:
        run.result(60)
    except Exception:  # noqa: BLE001  how it ended is what is asked
        return run.status
    return run.status


def test_a_retry_runs_in_another_process(start, tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    run = start(size=4).start(recycled.failing, str(folder))
    run.result(60)
    pids = [attempt.pid for attempt in run.steps()[0].attempts]
    assert all(one != other for one, other in itertools.pairwise(pids))


def test_each_attempt_has_a_process_of_its_own_where_that_is_asked_for(start):
    orchestrator = start(size=3, fresh=True)
    words = [f"word-{number}" for number in range(12)]
    answers = orchestrator.start(recycled.secrets, words).result(60)
    assert [answer.split()[0] for answer in answers] == words
    assert len({answer.split()[-1] for answer in answers}) == len(words)


@pytest.fixture
def word() -> str:
    """Give a secret that is in the memory of nobody who was not told."""
    return f"word-{secrets.token_hex(16)}"


def overheard(folder) -> bytes:
    file = folder / "overheard"
    return file.read_bytes() if file.exists() else b""


def test_in_a_shared_process_a_tool_that_reads_on_gets_what_is_meant_for_the_next(start, tmp_path, word):
    """What is not promised, and what the tests below would see if ``fresh`` did nothing."""
    orchestrator = start(size=1)
    spy = orchestrator.start(recycled.eavesdropping, str(tmp_path), "reads on").result(60)
    assert orchestrator.start(recycled.confiding, word, str(tmp_path)).result(60) == "forged"
    assert word.encode() in overheard(tmp_path)
    assert is_in_memory(spy, word.encode())


def test_in_a_shared_process_a_tool_that_leaves_code_behind_hears_what_is_meant_for_the_next(start, tmp_path, word):
    orchestrator = start(size=1)
    (tmp_path / "enough").touch()
    spy = orchestrator.start(recycled.eavesdropping, str(tmp_path), "listens").result(60)
    assert orchestrator.start(recycled.confiding, word, str(tmp_path)).result(60) == word
    assert int((tmp_path / "confided").read_text()) == spy
    assert word.encode() in overheard(tmp_path)


def test_a_process_of_its_own_reads_on_and_never_has_the_next_attempt_in_its_memory(start, tmp_path, word):
    orchestrator = start(size=2, fresh=True)
    spy = orchestrator.start(recycled.eavesdropping, str(tmp_path), "reads on").result(60)
    run = orchestrator.start(recycled.confiding, word, str(tmp_path))
    confidant = int(eventually(lambda: _text(tmp_path / "confided"), 30, what="the next attempt"))
    assert confidant != spy
    assert not is_over(spy), "it does not heed the order to end, and so lives on beside the next attempt for 6 s"
    assert is_in_memory(confidant, word.encode())
    assert is_in_memory(spy, os.fsencode(tmp_path)), "its own argument"
    assert not is_in_memory(spy, word.encode())
    (tmp_path / "enough").touch()
    assert run.result(60) == word
    eventually(lambda: is_over(spy), 30, what="the end of the process that was told to end")
    assert overheard(tmp_path) == b"stop \n"


@pytest.mark.parametrize("how", ["reads on", "listens"])
def test_where_there_is_room_for_one_process_the_next_attempt_waits_for_the_end_of_the_last(start, tmp_path, word, how):
    orchestrator = start(size=1, fresh=True)
    spy = orchestrator.start(recycled.eavesdropping, str(tmp_path), how).result(60)
    runs = [orchestrator.start(recycled.confiding, f"{word}-{number}", str(tmp_path)) for number in range(3)]
    eventually(lambda: _text(tmp_path / "confided"), 30, what="the next attempt")
    assert is_over(spy)
    (tmp_path / "enough").touch()
    assert [run.result(60) for run in runs] == [f"{word}-{number}" for number in range(3)]
    assert overheard(tmp_path) == b"stop \n"
    pids = [attempt.pid for run in runs for step in run.steps() for attempt in step.attempts]
    assert len({spy, *pids}) == 4


def _text(path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_process_ends_after_as_many_jobs_as_its_pool_allows(start):
    orchestrator = start(size=1, max_jobs=5)
    answers = orchestrator.start(recycled.secrets, ["a"] * 20).result(60)
    pids = [answer.split()[-1] for answer in answers]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [5, 5, 5, 5]


def test_programs_cannot_have_a_process_per_attempt(tmp_path, home):
    with pytest.raises(ValueError, match="fresh"):
        Orchestrator(tmp_path / "runs.db", pools={"program": Pool(fresh=True)})
    assert not (tmp_path / "runs.db").exists()
