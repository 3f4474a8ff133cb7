"""Budgets in real processes: nothing begins over them, children draw on them, and they outlive the orchestrator."""

import pytest

from tests.acceptance import harness
from tests.acceptance.apps import spending
from tests.support import eventually
from understudy import Budget, DefinitionError, Orchestrator, RunParked

pytestmark = pytest.mark.timeout(90)


def log(folder):
    return (folder / "log").read_text().splitlines()


def test_a_run_is_parked_where_its_budget_is_used_up_and_goes_on_with_more(orchestrator, tmp_path):
    run = orchestrator.start(spending.spender.options(budget=Budget(attempts=3)), str(tmp_path), 5)
    with pytest.raises(RunParked, match=r"3 of 3 attempts; raise it with `understudy runs resume"):
        run.result(30)
    assert log(tmp_path) == ["0", "1", "2"]
    run.resume(budget=Budget(attempts=4))
    with pytest.raises(RunParked, match="4 of 4 attempts"):
        run.result(30)
    run.resume(budget=Budget(attempts=5))
    assert run.result(30) == 5
    assert log(tmp_path) == ["0", "1", "2", "3", "4"]


def test_children_draw_on_their_parents_budget_whatever_orchestrator_has_them(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        run = first.start(spending.parent.options(budget=Budget(attempts=5)), str(tmp_path), 3, 4, id="family")
        with pytest.raises(RunParked, match="5 of 5 attempts"):
            run.result(30)
        eventually(lambda: {record.status for record in first.runs(name="spender")} == {"paused"})
        assert len(log(tmp_path)) == 5
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        run = second.get("family")
        run.resume(budget=Budget(attempts=8))
        with pytest.raises(RunParked, match="8 of 8 attempts"):
            run.result(30)
        assert len(log(tmp_path)) == 8
        run.resume(budget=Budget(attempts=12))
        assert run.result(30) == 12
        assert len(log(tmp_path)) == 12


def test_no_model_is_called_once_the_tokens_are_used_up(orchestrator):
    run = orchestrator.start(spending.talker)
    with pytest.raises(RunParked, match="of 1 tokens"):
        run.result(30)
    assert [len(step.attempts) for step in run.steps()] == [1, 0]
    run.resume(budget=Budget(tokens=1_000_000))
    assert len(run.result(30)) == 2


def test_a_run_whose_time_is_over_is_parked_though_nothing_of_it_is_in_memory(orchestrator):
    run = orchestrator.start(spending.sleeper.options(budget=Budget(wall=1.0)), 3600.0)
    with pytest.raises(RunParked, match="of 1 s"):
        run.result(30)
    run.resume(budget=Budget(wall=3600.0))
    eventually(lambda: run.status == "waiting")
    run.cancel()


def test_what_is_no_budget_is_refused_where_it_is_written():
    with pytest.raises(DefinitionError, match="Budget"):
        spending.spender.options(budget=5)
