"""Limits of models in real processes: one budget for many runs, pauses for all workers, breakers."""

import subprocess
import sys

import pytest

from greenroom import Breaker, Budget, InvalidInput, ModelLimit, Orchestrator, Pool, RunParked
from greenroom.messages.commands import ShowTree, Tree
from greenroom.testing import VirtualClock
from greenroom.workflows.decisions.budget_usage import Spending
from tests.acceptance import harness
from tests.acceptance.apps.models import metered
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def statuses(orchestrator):
    reply = orchestrator.send(ShowTree())
    assert isinstance(reply, Tree)
    return {record.id: record.status for record in reply.root.children if record.kind in {"model", "tool"}}


def spent(runs, limit):
    """Return what runs have used, after a check that at no event more than the limit was used and reserved."""
    spending = Spending()
    for *_, event in sorted((stored.at, stored.seq, run.id, stored.event) for run in runs for stored in run.events()):
        spending.add([event])
        assert spending.usd + sum(each.usd for each in spending.reserved.values()) <= limit + 1e-9
    return spending


@pytest.mark.parametrize("workflow", [metered.pays, metered.pays_judges])
def test_a_hundred_runs_at_once_never_spend_or_reserve_more_than_one_dollar(home, mark, tmp_path, workflow):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), budget=Budget(usd=1.0)) as orchestrator:
        runs = [orchestrator.start(workflow, 2, id=f"run-{number}") for number in range(100)]
        halted = {"parked", "completed"}
        eventually(lambda: {run.status for run in runs} <= halted, 100)
        parked = [run for run in runs if run.status == "parked"]
        assert parked
        assert len(parked) < 95, "most of the money is used"
        with pytest.raises(RunParked, match=r"the budget of this orchestrator is used up: .* of 1 USD.*runs resume"):
            parked[0].result(10)
        spending = spent(runs, 1.0)
        assert spending.usd > 0.8
        assert not spending.reserved
        assert sum(run.usage.get("usd", 0.0) for run in runs) == pytest.approx(spending.usd)
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), budget=Budget(usd=50.0)) as orchestrator:
        again = [orchestrator.get(run.id) for run in parked]
        for run in again:
            run.resume()
        assert [run.result(100) for run in again] == [2] * len(again)


def test_what_was_spent_is_known_to_the_next_orchestrator_and_limits_the_day(home, mark, tmp_path):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as orchestrator:
        spent = orchestrator.start(metered.pays, 2)
        spent.result(30)
        usd = spent.usage["usd"]
    for option, words in (("budget", "the budget"), ("daily_budget", "the daily budget")):
        options = {option: Budget(usd=usd * 1.01)}
        with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), **options) as orchestrator:
            run = orchestrator.start(metered.pays, 1)
            with pytest.raises(RunParked, match=f"{words} of this orchestrator is used up"):
                run.result(30)
            run.cancel()


def test_after_a_request_to_wait_no_worker_asks_the_model_until_it_is_over(home, mark, tmp_path):
    pools = harness.pools() | {"llm": Pool(size=2, concurrency=4)}
    with Orchestrator(tmp_path / "runs.db", pools=pools, models={"busy": ModelLimit(concurrency=6)}) as orchestrator:
        runs = [orchestrator.start(metered.asks, str(tmp_path), 12) for _ in range(6)]
        eventually(lambda: (tmp_path / "busy").exists() and len((tmp_path / "busy").read_text().splitlines()) > 12)
        (tmp_path / "refuse").touch()
        eventually(lambda: statuses(orchestrator).get("busy") == "held")
        assert statuses(orchestrator)["other"] == "running"
        assert [run.result(60) for run in runs] == [12] * 6
    refused = float((tmp_path / "refused").read_text())
    times = {
        name: [float(line.split()[0]) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("busy", "other")
    }
    assert len({line.split()[1] for line in (tmp_path / "busy").read_text().splitlines()}) == 2, "both workers ask it"
    on_the_way = 0.25  # the answer and frames that cross it
    assert not [at for at in times["busy"] if refused + on_the_way < at < refused + 1.5]
    assert [at for at in times["busy"] if at >= refused + 1.5]
    assert [at for at in times["other"] if refused < at]


def test_a_tool_with_a_breaker_is_not_called_while_that_is_open(home, mark, tmp_path):
    breakers = {"tool:unreliable": Breaker(failures=3, cooldown=1.0)}
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools(), breakers=breakers) as orchestrator:
        run = orchestrator.start(metered.insists, str(tmp_path))
        eventually(lambda: statuses(orchestrator).get("unreliable") == "open")
        (tmp_path / "up").touch()
        assert run.result(30) == "up"
        assert statuses(orchestrator)["unreliable"] == "running"
        (step,) = run.steps()
        assert [attempt.outcome for attempt in step.attempts] == ["error", "error", "error", "ok"]
    times = [float(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert times[3] - times[2] > 0.9


def test_a_model_without_a_known_price_is_not_called_under_a_budget_in_usd(orchestrator, tmp_path):
    with pytest.raises(InvalidInput, match="the price of unknown is not known: declare it with"):
        orchestrator.start(metered.spends_unknown, str(tmp_path), budget=Budget(usd=1.0))
    assert not orchestrator.runs()
    allowed = Budget(usd=1.0, unknown_price="allow")
    assert orchestrator.start(metered.spends_unknown, str(tmp_path), budget=allowed).result(30) == "done"
    (tmp_path / "unknown").unlink()
    with pytest.raises(InvalidInput, match="the price of unknown is not known: declare it with"):
        orchestrator.start(metered.is_judged_unknown, budget=Budget(usd=1.0))
    run = orchestrator.start(metered.is_judged_unseen, budget=Budget(usd=1.0))
    with pytest.raises(RunParked, match="the price of the model unknown is not known"):
        run.result(30)
    assert run.steps()[0].status == "evaluating"
    run.cancel(within=0)
    assert not (tmp_path / "unknown").exists()
    run = orchestrator.start(metered.spends_unseen, str(tmp_path), budget=Budget(usd=1.0))
    with pytest.raises(RunParked, match="the price of the model unknown is not known"):
        run.result(30)
    assert not (tmp_path / "unknown").exists()
    run.resume(budget=Budget(unknown_price="allow"))
    assert run.result(30) == "done"
    assert run.usage["unpriced"] == 1


def test_a_price_that_the_author_declares_counts(orchestrator, tmp_path):
    run = orchestrator.start(metered.spends_declared, str(tmp_path), budget=Budget(usd=1.0))
    with pytest.raises(RunParked, match="the next call of declared may need"):
        run.result(30)
    run = orchestrator.start(metered.spends_declared, str(tmp_path), budget=Budget(usd=1e6))
    assert run.result(30) == "done"
    assert run.usage["usd"] == pytest.approx(3e-6 + 2.0)
    assert "unpriced" not in run.usage


def test_a_call_of_a_model_that_does_not_say_what_it_used_counts_with_what_was_reserved(orchestrator, tmp_path):
    run = orchestrator.start(metered.spends_silent, str(tmp_path), 5, budget=Budget(usd=0.25))
    with pytest.raises(RunParked, match="is used up: 0.2"):
        run.result(30)
    assert run.usage == {"unpriced": 2.0}
    assert len((tmp_path / "silent").read_text().splitlines()) == 2


def test_tokens_that_a_model_reports_without_a_price_cost_what_the_model_costs(orchestrator):
    run = orchestrator.start(metered.spends_scripted)
    assert run.result(30) == "x"
    assert run.usage == {"input_tokens": 3.0, "output_tokens": 2.0, "usd": pytest.approx(3e-6 + 0.02)}


def test_a_limit_that_is_none_is_refused_with_a_sentence(tmp_path):
    for options, words in (
        ({"models": {"m": 5}}, "is a ModelLimit"),
        ({"breakers": {"m": 5}}, "is a Breaker"),
        ({"budget": 5}, "budget is a Budget"),
        ({"daily_budget": Budget(wall=5.0)}, "give `wall` to a workflow"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            Orchestrator(tmp_path / "runs.db", **options)


def test_calls_that_a_kill_of_the_orchestrator_cuts_off_count_with_what_was_reserved_for_them(home, mark, tmp_path):
    for _ in range(3):
        command = [sys.executable, "-m", "tests.acceptance.apps.models.payer", str(tmp_path), "20", "0.5"]
        payer = subprocess.Popen(command)
        eventually((tmp_path / "calling").exists, 60)
        payer.kill()
        payer.wait()
        (tmp_path / "calling").unlink()
    options = {"home": tmp_path / "home", "pools": harness.pools(), "budget": Budget(usd=0.5)}
    with Orchestrator(tmp_path / "runs.db", **options) as orchestrator:
        runs = [orchestrator.start(metered.pays, 3, id=f"run-{number}") for number in range(20)]
        eventually(lambda: {run.status for run in runs} <= {"parked", "completed"}, 60)
        used = spent(runs, 0.5)
        attempts = [attempt for run in runs for step in run.steps() for attempt in step.attempts]
        lost = [attempt for attempt in attempts if attempt.outcome == "crash"]
        assert lost
        assert all(attempt.reserved is not None and not attempt.usage for attempt in lost)
        measured = sum(attempt.usage.get("usd", 0.0) for attempt in attempts)
        assert used.usd == pytest.approx(measured + sum(attempt.reserved.usd for attempt in lost))


def test_waits_for_a_rate_take_no_time_with_a_virtual_clock(home, mark, tmp_path):
    clock = VirtualClock()
    options = {"clock": clock, "models": {"priced": ModelLimit(rpm=2)}, "pools": harness.pools()}
    with Orchestrator(tmp_path / "runs.db", **options) as orchestrator:
        begun = clock.now()
        run = orchestrator.start(metered.pays, 6)
        assert run.result(30) == 6
        assert 120 <= (clock.now() - begun).total_seconds() < 180
        starts = sorted(attempt.started_at for step in run.steps() for attempt in step.attempts)
        assert [round((at - starts[0]).total_seconds() / 60) for at in starts] == [0, 0, 1, 1, 2, 2]
