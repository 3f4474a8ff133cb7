"""The shared state of a run, which is read from its newest change alone."""

import pytest

from greenroom import Orchestrator, Run, RunFailed
from tests.workflows.apps.counting import counts


@pytest.mark.parametrize(("steps", "changes"), [(1, 0), (1, 1), (150, 1), (150, 0), (150, 150)])
def test_a_state_is_that_of_all_events_however_long_ago_it_changed(home, steps, changes):
    with Orchestrator() as orchestrator:
        run = orchestrator.start(counts, [1] * steps, changes)
        assert run.result(60) == 10 * changes
        check(orchestrator, run)


def test_a_state_goes_back_with_a_retry_and_a_fork(home):
    with Orchestrator() as orchestrator:
        run = orchestrator.start(counts, [1, 2, 3, 4], 4)
        with pytest.raises(RunFailed):
            run.result(60)
        check(orchestrator, run)
        run.retry()
        with pytest.raises(RunFailed):
            run.result(60)
        check(orchestrator, run)
        fork = run.fork(at="same#2", result=2)
        with pytest.raises(RunFailed):
            fork.result(60)
        check(orchestrator, fork)
        whole = run.fork(input={"numbers": [1], "changes": 0})
        assert whole.result(60) == 0
        check(orchestrator, whole)


def check(orchestrator: Orchestrator, run: Run[int]) -> None:
    assert orchestrator.reads.state(run.id) == orchestrator.reads.fold(run.id).shared
