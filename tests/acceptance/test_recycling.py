"""What a step does to its process does not reach the next step, whoever asked for that."""

import itertools

import pytest

from tests.acceptance.apps import recycled
from understudy import Orchestrator, Pool

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def start(tmp_path, home, mark):
    opened = []

    def start(**pool):
        opened.append(Orchestrator(tmp_path / "runs.db", pools={"tool": Pool(**pool)}))
        return opened[-1]

    yield start
    for orchestrator in opened:
        orchestrator.close()


@pytest.mark.parametrize("how", ["descriptors", "all open", "nice", "thread"])
def test_a_worker_that_a_step_has_spoilt_does_no_further_work(start, how):
    orchestrator = start(size=4)
    spoilt, *pids = orchestrator.start(recycled.spoiling, how, 20).result(60)
    assert spoilt not in pids
    assert sum(worker.restarts for worker in orchestrator.workers()) == 0
    assert sum(worker.replacements for worker in orchestrator.workers()) == 1


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


def test_a_process_ends_after_as_many_jobs_as_its_pool_allows(start):
    orchestrator = start(size=1, max_jobs=5)
    answers = orchestrator.start(recycled.secrets, ["a"] * 20).result(60)
    pids = [answer.split()[-1] for answer in answers]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [5, 5, 5, 5]


def test_programs_cannot_have_a_process_per_attempt(tmp_path, home):
    with pytest.raises(ValueError, match="fresh"):
        Orchestrator(tmp_path / "runs.db", pools={"program": Pool(fresh=True)})
    assert not (tmp_path / "runs.db").exists()
