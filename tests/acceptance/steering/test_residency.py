"""A run that waits for something far off takes each of many messages at the same cost, and few of them are kept."""

import pytest

from greenroom import Orchestrator
from greenroom.testing import VirtualClock, assert_state_is_fold
from greenroom.workflows.runs import registry, residency
from greenroom.workflows.runs.residency import ResidentRuns
from tests.acceptance import harness
from tests.acceptance.apps.steering import compensating
from tests.support import eventually

pytestmark = pytest.mark.slow

LOAD = "load"
"""What reads a run, by its name in the module that calls it."""


@pytest.fixture
def reads(monkeypatch):
    """List the runs that are read from the journal."""
    found = []

    def load(journal, run_id):
        found.append(run_id)
        return original(journal, run_id)

    original = getattr(registry, LOAD)
    monkeypatch.setattr(registry, LOAD, load)
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("paused", [False, True])
def test_a_burst_of_messages_to_a_run_that_sleeps_reads_it_seldom(home, mark, tmp_path, reads, paused):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        run = orchestrator.start(compensating.asleep, str(tmp_path))
        eventually(lambda: run.status == "waiting", 60)
        if paused:
            run.pause()
        for number in range(300):
            run.signal(compensating.Go(word=str(number)))
        assert len(reads) < 100, "each message of a burst finds the run in memory, however loaded the machine is"
        assert_state_is_fold(run)
        run.cancel(within=0)


@pytest.mark.timeout(120)
def test_a_run_that_dozes_hears_the_message_that_it_waits_for(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), clock=VirtualClock()) as orchestrator:
        run = orchestrator.start(compensating.listens)
        eventually(lambda: run.status == "waiting", 60)
        for number in range(3):
            run.signal(compensating.Go(word=str(number)))
        assert run.result(60) == ["0", "1", "2"]


def test_those_that_nothing_has_happened_to_for_longest_make_room(monkeypatch):
    monkeypatch.setattr(residency, "MOST_RUNS", 3)
    monkeypatch.setattr(residency, "MOST_EVENTS", 100)
    kept, left = ResidentRuns(), []
    for name in ("a", "b", "c", "a", "d"):
        kept.keep(name, 10, lambda name=name: left.append(name))
    assert (left, len(kept)) == (["b"], 3)
    kept.keep("long", 95, lambda: left.append("long"))
    assert (left, len(kept)) == (["b", "c", "a", "d"], 1)
    kept.keep("longer", 1000, lambda: left.append("longer"))
    assert len(kept) == 1
    kept.drop("longer")
    kept.drop("nobody")
    assert (len(kept), kept._events) == (0, 0)
