"""Budgets: once one is used up nothing begins that would use more of it, and raising it lets the run go on."""

import json
import re

import pytest

from greenroom import Budget
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Completed, Return, ScheduleChild, ScheduleTimer
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budget_usage import Account, Overdraft, Spending, overdraft
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.runs.budget_accounts import BudgetAccounts
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import WALL_KEY, RunState
from tests.workflows.decisions.test_decide import NOTHING, NOW, Case, schedule, types


class Limited(Case):
    """A run with a budget of its own, beside the accounts that the registry would keep."""

    def __init__(self, budget: Budget, owner: str = "r") -> None:
        super().__init__()
        started = ev.RunStarted(
            at=NOW,
            run_id="r",
            app="app.py",
            workflow="w",
            arguments={},
            budget=budget if owner == "r" else None,
            accounts=(owner,),
        )
        self.state: RunState = fold(None, started)
        self.ledger = BudgetAccounts()
        self.ledger.open(self.state)
        if owner != "r":
            self.ledger._accounts[owner] = Account(owner, budget, NOW)

    def happen(self, happened: inputs.Input) -> Decision:
        decision = decide(self.state, happened, self.now, 0.5, self.ledger.overdraft(self.state, self.now))
        self.ledger.note(self.state, decision.events)
        return decision

    def spend(self, key: str, **usage: float) -> Decision:
        attempt = len(self.state.steps[key].attempts)
        message = Completed(token=f"t{attempt}", result=1, duration=0.1, usage=usage)
        return self.happen(inputs.StepAnswered(key, attempt, f"t{attempt}", message))


@pytest.mark.parametrize(
    ("budget", "spending", "now", "says"),
    [
        (Budget(usd=0.5), Spending(usd=0.5), 0.0, "0.5 of 0.5 USD"),
        (Budget(usd=0.5), Spending(usd=0.49), 0.0, None),
        (Budget(tokens=100), Spending(tokens=120), 0.0, "120 of 100 tokens"),
        (Budget(attempts=3), Spending(attempts=3), 0.0, "3 of 3 attempts"),
        (Budget(wall=60.0), Spending(), 59.0, None),
        (Budget(wall=60.0), Spending(), 61.0, "61 of 60 s"),
        (Budget(), Spending(1e9, 1e9, 10**9), 1e9, None),
    ],
)
def test_a_budget_is_used_up_once_any_part_of_it_is(
    budget: Budget, spending: Spending, now: float, says: str | None
) -> None:
    found = overdraft(Account("r", budget, 0.0, spending), now)
    assert (found is None) == (says is None)
    if found is not None and says is not None:
        assert says in found.reason
        assert "greenroom runs resume r --budget" in found.reason
        assert found.late == (budget.wall is not None)


def test_of_budgets_that_are_used_up_that_of_attempts_comes_last_since_it_lets_judges_be_asked() -> None:
    account = Account("r", Budget(attempts=1, usd=1.0), 0.0, Spending(usd=0.5, attempts=1))
    only = overdraft(account, 0.0)
    assert only is not None
    assert only.of_attempts
    account.refused = Overdraft("r", "the next call may need more")
    assert overdraft(account, 0.0) == account.refused
    account.spending.usd = 1.0
    poor = overdraft(account, 0.0)
    assert poor is not None
    assert "1 of 1 USD" in poor.reason
    assert not poor.of_attempts
    limited = Limited(Budget(attempts=1))
    limited.ledger._accounts["r"].spending.attempts = 1
    limited.ledger.shared.append(Account("", Budget(tokens=10), NOW, Spending(tokens=10)))
    found = limited.ledger.overdraft(limited.state, NOW)
    assert found is not None
    assert (found.run_id, found.of_attempts) == ("", False)


@pytest.mark.parametrize(
    ("name", "limit", "spending", "says"),
    [
        ("usd", 0.5, Spending(usd=1.002), "1.002 of 0.5 USD"),
        ("tokens", 100, Spending(tokens=5_000), "5000 of 100 tokens"),
        ("attempts", 3, Spending(attempts=9), "9 of 3 attempts"),
        ("wall", 0.5, Spending(), "0.5 of 0.5 s"),
    ],
)
def test_the_budget_that_is_advised_is_enough_to_go_on_however_far_the_old_one_was_exceeded(
    name: str, limit: float, spending: Spending, says: str
) -> None:
    found = overdraft(Account("r", Budget.model_validate({name: limit}), 0.0, spending), 0.52)
    assert found is not None
    assert says in found.reason
    (advised,) = re.findall(rf"--budget {name}=([0-9.]+)", found.reason)
    raised = Budget.model_validate({name: json.loads(advised)})
    assert overdraft(Account("r", raised, 0.0, spending), 1800.0) is None, "half an hour later"


def test_the_attempt_that_would_go_over_it_does_not_begin_and_the_run_is_parked() -> None:
    case = Limited(Budget(usd=0.1))
    case.step("a#1", kind="llm")
    case.spend("a#1", usd=0.2)
    decision = case.turn(schedule("b#1", kind="llm"))
    assert types(decision) == ["step.scheduled", "run.parked"]
    assert decision.now == [do.EndProgram()]
    assert decision.then == [do.Announce()]
    assert case.state.status == "parked"
    assert "0.2 of 0.1 USD" in str(case.state.reason)
    decision = case.happen(inputs.Resume())
    assert types(decision) == ["run.resumed", "run.parked"], "it is still used up"
    assert do.StartProgram() not in decision.then
    decision = case.happen(inputs.Resume(Budget(usd=1.0)))
    assert types(decision) == ["run.resumed"]
    assert do.Dispatch("b#1", 1) in decision.now
    assert case.assign("b#1").then == [do.SendHeld("t1")]


def test_an_attempt_that_waits_for_a_worker_does_not_begin_either() -> None:
    case = Limited(Budget(attempts=2))
    case.turn(*(schedule(f"{name}#1") for name in "abcd"))
    case.assign("a#1")
    assert case.assign("b#1").then == [do.SendHeld("t1")], "every attempt is on record before it begins"
    decision = case.assign("c#1")
    assert types(decision) == ["run.parked"]
    assert decision.then == [do.Announce()]
    assert {effect.key for effect in decision.now if isinstance(effect, do.WithdrawStep)} == {"c#1", "d#1"}
    late = case.assign("d#1")
    assert (types(late), late.now) == ([], [do.WithdrawStep("d#1")]), "it was chosen a worker at the same time"
    assert types(case.spend("a#1")) == ["attempt.ended", "step.completed"], "what runs may end"


def test_a_run_that_needs_no_more_than_its_budget_completes() -> None:
    case = Limited(Budget(attempts=1))
    case.step("a#1")
    case.spend("a#1")
    assert types(case.turn(Return(result=1))) == ["run.completed"]


def test_a_run_is_parked_when_its_time_is_over_whatever_it_waits_for() -> None:
    case = Limited(Budget(wall=60.0))
    assert (WALL_KEY, NOW + 60) in case.state.wait_changes
    case.turn(ScheduleTimer(key="timer#1", seconds=3600), ScheduleChild(key="x#1", workflow="c", arguments={}))
    case.now += 59
    assert case.happen(inputs.Tick()) == NOTHING
    case.now += 1
    decision = case.happen(inputs.Tick())
    assert types(decision) == ["run.parked"]
    assert do.PauseChild("x#1") in decision.then
    assert case.happen(inputs.Tick()) == NOTHING
    decision = case.happen(inputs.Resume(Budget(wall=7200)))
    assert types(decision) == ["run.resumed"]
    assert do.ResumeChild("x#1") in decision.then
    assert case.state.wait_changes[-1] == (WALL_KEY, NOW + 7200)


def test_a_run_below_one_whose_budget_is_used_up_pauses_and_tells_it() -> None:
    case = Limited(Budget(attempts=1), owner="parent")
    case.step("a#1")
    decision = case.turn(schedule("b#1"))
    assert types(decision) == ["step.scheduled", "run.paused"]
    (told,) = [effect for effect in decision.then if isinstance(effect, do.TellOverdrawn)]
    assert told.run_id == "parent"
    assert case.happen(inputs.Recover(orphaned=True)).then == [told], "which may have died before it heard"
    case.ledger._accounts["parent"].budget = Budget(attempts=5)
    assert do.Dispatch("b#1", 1) in case.happen(inputs.Resume(unless_parked=True)).now


def test_who_is_told_that_its_budget_is_used_up_stops_or_lets_go_on_what_it_has_more_for() -> None:
    case = Limited(Budget(attempts=5))
    case.turn(ScheduleChild(key="x#1", workflow="c", arguments={}))
    assert case.happen(inputs.Overdrawn("no more")).then == [do.ResumeChild("x#1")], "it was raised meanwhile"
    case.ledger._accounts["r"].spending.attempts = 5
    decision = case.happen(inputs.Overdrawn("no more"))
    assert types(decision) == ["run.parked"]
    assert do.PauseChild("x#1") in decision.then
    assert case.happen(inputs.Overdrawn("no more")) == NOTHING


def test_a_budget_is_raised_by_what_is_named_and_one_may_be_given_later() -> None:
    case = Limited(Budget(usd=1.0, attempts=3))
    assert types(case.happen(inputs.Resume(Budget(usd=2.0)))) == ["run.resumed"]
    assert case.state.budget == Budget(usd=2.0, attempts=3)
    bare = Case()
    bare.happen(inputs.Resume(Budget(attempts=1)))
    assert (bare.state.budget, bare.state.accounts) == (Budget(attempts=1), ("r",))


def test_an_account_is_added_up_from_the_journal_with_everything_below_it() -> None:
    def started(run_id: str, budget: Budget | None, *accounts: str) -> ev.RunStarted:
        return ev.RunStarted(
            at=0.0, run_id=run_id, app="a", workflow="w", arguments={}, budget=budget, accounts=accounts
        )

    def attempt(token: str, usd: float) -> list[ev.AnyEvent]:
        step = ev.StepScheduled(
            at=1.0, key="a#1", name="a", kind="llm", step="a:a", arguments=None, options=schedule().options
        )
        begun = ev.AttemptStarted(at=1.0, key="a#1", attempt=1, token=token, worker="w", pid=1, incarnation=1)
        failure = Failure(outcome="error")
        ended = ev.AttemptEnded(
            at=1.0, key="a#1", attempt=1, token=token, outcome="error", failure=failure, usage={"usd": usd}
        )
        return [step, begun, ended]

    child = ev.ChildScheduled(at=1.0, key="x#1", run_id="r.1", app="a", workflow="c", arguments={})
    journals: dict[str, list[ev.AnyEvent]] = {
        "r": [started("r", Budget(usd=1.0, attempts=9), "r"), child, *attempt("1", 0.25)],
        "r.1": [
            started("r.1", Budget(usd=0.1), "r", "r.1").model_copy(update={"parent": "r"}),
            *attempt("2", 0.5),
        ],
    }
    ledger = BudgetAccounts()
    state = fold(None, journals["r.1"][0])
    ledger.load(state, journals.__getitem__)
    assert ledger._accounts["r"].spending == Spending(usd=0.75, tokens=0.0, attempts=2)
    assert ledger._accounts["r.1"].spending == Spending(usd=0.5, tokens=0.0, attempts=1)
    found = ledger.overdraft(state, 5.0)
    assert isinstance(found, Overdraft)
    assert found.run_id == "r.1"
