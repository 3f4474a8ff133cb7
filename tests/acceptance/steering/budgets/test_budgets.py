"""Budgets in real processes: nothing begins over them, children draw on them, and they outlive the orchestrator."""

import pytest

from greenroom import Budget, DefinitionError, Orchestrator, RunFailed, RunParked, session
from tests.acceptance import harness
from tests.acceptance.apps.steering import spending
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def log(folder):
    return (folder / "log").read_text().splitlines()


def test_a_run_is_parked_where_its_budget_is_used_up_and_goes_on_with_more(orchestrator, tmp_path):
    run = orchestrator.start(spending.spender.options(budget=Budget(attempts=3)), str(tmp_path), 5)
    with pytest.raises(RunParked, match=r"3 of 3 attempts; raise it with `greenroom runs resume"):
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
        eventually(lambda: len(log(tmp_path)) == 5)  # the last attempt goes on for a moment after its run is parked
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        run = second.get("family")
        run.resume(budget=Budget(attempts=8))
        with pytest.raises(RunParked, match="8 of 8 attempts"):
            run.result(30)
        halted = {"paused", "completed"}
        eventually(lambda: {record.status for record in second.runs(name="spender")} <= halted)
        eventually(lambda: len(log(tmp_path)) == 8)
        run.resume(budget=Budget(attempts=12))
        assert run.result(30) == 12
        assert len(log(tmp_path)) == 12


def test_no_model_is_called_that_may_use_more_tokens_than_are_left(orchestrator):
    run = orchestrator.start(spending.talker)
    with pytest.raises(RunParked, match="0 of 1 tokens, and the next call of mock may need"):
        run.result(30)
    assert [len(step.attempts) for step in run.steps()] == [0]
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


def test_the_turns_of_a_session_draw_on_one_budget_whatever_orchestrator_has_it(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        clerk = first.session(spending.clerk, "anna")
        assert clerk.ask(spending.Job(folder=str(tmp_path), count=2), 30) == 2
        with pytest.raises(RunParked, match=r"3 of 3 attempts; raise it with `greenroom runs resume clerk/anna"):
            clerk.ask(spending.Job(folder=str(tmp_path), count=2), 30)
        first.get("clerk/anna").resume(budget=Budget(attempts=5))
        eventually(lambda: clerk.state.done == 4)
        assert clerk.ask(spending.Job(folder=str(tmp_path)), 30) == 5
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        clerk = second.session(spending.clerk, "anna")
        with pytest.raises(RunParked, match="5 of 5 attempts"):  # the raised one, after its turn is over
            clerk.ask(spending.Job(folder=str(tmp_path)), 30)
        assert second.session(spending.clerk, "bert").ask(spending.Job(folder=str(tmp_path)), 30) == 1
    assert log(tmp_path) == ["0", "1", "2", "3", "4", "0"]


def test_runs_that_a_session_starts_draw_on_its_budget(orchestrator, tmp_path):
    foreman = orchestrator.session(spending.foreman, "carl")
    with pytest.raises(RunParked, match="2 of 2 attempts"):
        foreman.ask(spending.Job(folder=str(tmp_path), count=3), 30)
    assert log(tmp_path) == ["0", "1"]


def test_a_session_that_a_workflow_opens_has_its_budget(orchestrator, tmp_path):
    orchestrator.start(spending.hires, str(tmp_path)).result(30)
    eventually(lambda: [record.status for record in orchestrator.sessions("clerk")] == ["parked"])
    assert log(tmp_path) == ["0", "1", "2"]


def test_a_session_has_no_wall():
    with pytest.raises(DefinitionError, match="lasts until it is closed"):
        session(budget=Budget(wall=5.0))(spending.clerk.fn)


# ---------------------------------------------------------------- how far an attempt is


def test_what_an_attempt_reports_is_seen_in_it_and_known_to_the_next(orchestrator, tmp_path):
    run = orchestrator.start(spending.climb, str(tmp_path))
    assert run.result(30) == [2, 4]
    assert log(tmp_path) == ["0", "1", "2", "3"]
    assert [attempt.progress for attempt in run.steps()[0].attempts] == [{"at": 2, "of": 4}, {"at": 4, "of": 4}]


def test_of_many_reports_the_newest_is_seen_while_the_attempt_runs(orchestrator, tmp_path):
    run = orchestrator.start(spending.waiting, str(tmp_path))
    eventually(lambda: (steps := run.steps()) and steps[0].attempts and steps[0].attempts[0].progress == {"said": 999})
    reports = [stored for stored in run.events() if stored.event.type == "attempt.progressed"]
    assert len(reports) < 20
    (tmp_path / "go").touch()
    assert run.result(30) == "gone on"


def test_a_report_that_is_too_long_is_refused_with_its_size(orchestrator):
    assert orchestrator.start(spending.too_much, 1000).result(30) is None
    with pytest.raises(RunFailed, match="at most 65536 bytes of JSON, not 70002"):
        orchestrator.start(spending.too_much, 70_000).result(30)


# ---------------------------------------------------------------- an evaluator that is broken itself


@pytest.mark.parametrize(("which", "is_flagged"), [("opened", False), ("flagged", True), ("usual", True)])
def test_a_result_that_nobody_could_judge_is_used_where_the_author_says_so(orchestrator, which, is_flagged):
    run = orchestrator.start(spending.judged, which)
    assert run.result(30) == "unseen"
    assert run.steps()[0].flagged == is_flagged


def test_a_result_that_nobody_could_judge_fails_where_a_rejected_one_would(orchestrator):
    run = orchestrator.start(spending.judged, "closed")
    with pytest.raises(RunFailed, match=r"cannot_say failed: .*the evaluator itself is broken"):
        run.result(30)
    assert run.steps()[0].status == "failed"


def test_a_start_may_have_a_budget_of_its_own(orchestrator, tmp_path):
    run = orchestrator.start(spending.spender, str(tmp_path), 3, budget=Budget(attempts=2))
    with pytest.raises(RunParked, match="2 of 2 attempts"):
        run.result(30)
    run = orchestrator.start_app(
        spending.spender.definition.app, "spender", {"folder": str(tmp_path), "count": 3}, budget=Budget(attempts=1)
    )
    with pytest.raises(RunParked, match="1 of 1 attempts"):
        run.result(30)
    assert orchestrator.start(spending.planned, budget=7).result(30) == 7
    with pytest.raises(TypeError, match="could be either"):
        orchestrator.start(spending.planned, budget=Budget(attempts=1))
    with pytest.raises(DefinitionError, match="Budget"):
        orchestrator.start(spending.sleeper, 1.0, budget=7)
