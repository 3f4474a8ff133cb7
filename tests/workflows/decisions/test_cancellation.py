"""What is decided about the cancellation of a run: a program has all the time it needs to clean up."""

from typing import Any

import pytest

from greenroom import Budget
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import (
    Diverge,
    ProgramCommand,
    Raise,
    Return,
    ScheduleChild,
    ScheduleReceive,
    ScheduleTimer,
    Turn,
    Withdraw,
)
from greenroom.messages.options.policy import Retry
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.fold import fold
from tests.workflows.decisions.budgets.test_budgets import Limited
from tests.workflows.decisions.test_decide import ERROR, NOTHING, Case, schedule, types

CANCELLED = Raise(failure=Failure(outcome="cancelled", message="cancelled"), cancelled=True)


def begun(case: Case) -> Case:
    case.happen(inputs.ProgramAssigned("program-1", 7, 1))
    return case


def status_of(case: Case) -> str:
    return case.state.status


def answers(case: Case, *commands: ProgramCommand) -> Decision:
    """Have the program say what it does about being cancelled."""
    return case.happen_turn(Turn(run_id="r", commands=commands, cancels=1))


def test_cleanup_has_no_limit_in_time() -> None:
    case = begun(Case())
    case.step("a#1")
    decision = case.happen(inputs.Cancel("enough"))
    assert (types(decision), decision.then) == (["cancel.requested"], [do.ReleaseSteps()])
    answers(case, Withdraw(key="a#1"), schedule("undo#1", retry=Retry(initial=3600.0, jitter=0.0)))
    case.assign("undo#1")
    case.now += 1e6
    assert case.happen(inputs.Tick()) == NOTHING
    case.fail(ERROR, "undo#1")
    case.now += 3600
    assert case.happen(inputs.Tick()).now == [do.Dispatch("undo#1", 2)]
    assert types(answers(case, CANCELLED))[-1] == "run.cancelled"
    assert case.state.reason == "enough"


def test_asking_twice_is_asking_once() -> None:
    case = begun(Case())
    case.happen(inputs.Cancel("enough"))
    assert case.happen(inputs.Cancel("again")) == NOTHING
    assert len(case.state.resolutions) == 1


def test_a_run_ends_at_its_limit_without_the_rest_of_its_cleanup_and_so_do_its_children() -> None:
    case = begun(Case())
    case.turn(ScheduleChild(key="c#1", workflow="c", arguments={}))
    decision = case.happen(inputs.Cancel("enough", within=60.0))
    assert types(decision) == ["cancel.requested", "cleanup.limited"]
    assert ("cancel", case.now + 60) in case.state.wait_changes
    answers(case, Withdraw(key="c#1"))
    case.now += 59
    assert case.happen(inputs.Tick()) == NOTHING
    case.now += 1
    decision = case.happen(inputs.Tick())
    assert types(decision) == ["child.ended", "run.cancelled"]
    assert do.CancelChild("c#1", case.state.children["c#1"].run_id, at_once=True) in decision.then
    assert case.state.reason == "enough"


@pytest.mark.parametrize(("first", "second", "ends"), [(None, 5.0, 5.0), (5.0, 60.0, 5.0), (60.0, 5.0, 5.0)])
def test_of_several_limits_the_earliest_counts(first: float | None, second: float, ends: float) -> None:
    case = begun(Case())
    case.happen(inputs.Cancel("enough", within=first))
    case.happen(inputs.Cancel("now", within=second))
    case.now += ends - 1
    assert case.happen(inputs.Tick()) == NOTHING
    case.now += 1
    assert types(case.happen(inputs.Tick())) == ["run.cancelled"]
    assert case.state.reason == "enough"


def test_a_limit_of_nothing_ends_a_run_at_once_whatever_it_is_at() -> None:
    for halt in (None, inputs.Pause("x"), inputs.NoWorkers("y")):
        case = begun(Case())
        case.step("a#1")
        if halt is not None:
            case.happen(halt)
        assert types(case.happen(inputs.Cancel(None, within=0.0)))[-1] == "run.cancelled"


@pytest.mark.parametrize("halt", [inputs.Pause("for lunch"), inputs.NoWorkers("nobody there")])
def test_a_halted_run_that_is_cancelled_goes_on_to_clean_up_and_begins_nothing_that_waited(halt: inputs.Input) -> None:
    case = begun(Case())
    case.step("book#1")
    case.answer("booked", "book#1")
    case.turn(schedule("pay#1"), schedule("charge#1", retry=Retry(initial=1.0, jitter=0.0)))
    case.assign("charge#1")
    case.fail(ERROR, "charge#1")
    case.happen(halt)
    case.now += 60
    decision = case.happen(inputs.Cancel("enough"))
    assert types(decision) == ["run.resumed", "cancel.requested"]
    assert decision.now == []
    assert decision.then[-1] == do.StartProgram()
    assert case.state.reason == "enough"
    assert case.happen(inputs.Tick()).now == [], "the program has not said what it still awaits"
    decision = answers(case, Withdraw(key="pay#1"), Withdraw(key="charge#1"), schedule("undo#1"))
    assert [effect for effect in decision.now if isinstance(effect, do.Dispatch)] == [do.Dispatch("undo#1", 1)]


def test_what_a_program_awaits_in_spite_of_its_cancellation_begins_once_it_has_said_so() -> None:
    case = begun(Case())
    case.turn(schedule("a#1"), schedule("b#1"), ScheduleChild(key="c#1", workflow="c", arguments={}))
    case.happen(inputs.Pause(None))
    case.happen(inputs.Cancel(None))
    assert case.turn().now == [], "a turn from before it was told says nothing"
    decision = answers(case, Withdraw(key="a#1"))
    assert types(decision)[-1] == "cancel.heard"
    assert do.Dispatch("b#1", 1) in decision.now
    assert do.ResumeChild("c#1") in decision.then


def test_an_attempt_lost_with_an_orchestrator_is_not_made_again_for_a_program_that_is_cancelled() -> None:
    case = begun(Case())
    case.step("a#1")
    case.happen(inputs.Cancel(None))
    decision = case.happen(inputs.Recover(orphaned=True))
    assert not any(isinstance(effect, do.Dispatch) for effect in decision.now)
    assert do.StartProgram() in decision.then


def test_cleanup_may_be_paused_and_goes_on_when_resumed_or_cancelled_again() -> None:
    for again in (inputs.Resume(), inputs.Cancel("again")):
        case = begun(Case())
        case.step("a#1")
        case.happen(inputs.Cancel("enough"))
        answers(case, Withdraw(key="a#1"), schedule("undo#1"))
        case.happen(inputs.Pause("wait"))
        assert case.state.status == "paused"
        decision = case.happen(again)
        assert types(decision) == ["run.resumed"]
        assert do.Dispatch("undo#1", 1) in decision.now
        answers(case, CANCELLED)
        assert (case.state.status, case.state.reason) == ("cancelled", "enough")


def test_a_parent_that_asks_again_does_not_wake_a_child_that_was_paused_since() -> None:
    case = begun(Case())
    case.step("a#1")
    case.happen(inputs.Cancel("no longer awaited", again=False))
    case.happen(inputs.Pause(None))
    assert case.happen(inputs.Cancel("no longer awaited", again=False)) == NOTHING


def test_a_run_whose_code_does_not_fit_is_parked_again_and_says_how_it_can_clean_up_or_end() -> None:
    case = begun(Case())
    case.step("a#1")
    case.happen(inputs.NoWorkers("no more"))
    case.happen(inputs.Cancel("enough"))
    case.turn(Diverge(detail="the code has changed"))
    assert case.state.status == "parked"
    assert case.state.reason is not None
    assert "has not cleaned up" in case.state.reason
    assert "greenroom runs cancel r --within 0" in case.state.reason
    case.happen(inputs.Resume())
    answers(case, Withdraw(key="a#1"), CANCELLED)
    assert (case.state.status, case.state.reason) == ("cancelled", "enough")


def test_the_program_waits_until_a_child_that_it_no_longer_awaits_has_ended() -> None:
    case = begun(Case())
    case.turn(ScheduleChild(key="c#1", workflow="c", arguments={}))
    case.happen(inputs.Cancel(None))
    decision = answers(case, Withdraw(key="c#1"))
    assert do.CancelChild("c#1", case.state.children["c#1"].run_id) in decision.then
    assert case.state.children["c#1"].open
    case.happen(inputs.ChildFinished("c#1", None, Failure(outcome="cancelled", message="it was cancelled")))
    assert case.state.resolutions[-1].kind == "failure"


@pytest.mark.parametrize("wait", [ScheduleTimer(key="t#1", seconds=9e4), ScheduleReceive(key="m#1", name="Go")])
def test_a_run_that_waits_in_its_cleanup_is_waiting(wait: Any) -> None:
    case = begun(Case())
    case.step("a#1")
    case.happen(inputs.Cancel(None))
    assert status_of(case) == "running"
    answers(case, Withdraw(key="a#1"), wait)
    assert status_of(case) == "waiting"


def test_a_cancelled_program_that_goes_on_regardless_completes() -> None:
    case = begun(Case())
    case.happen(inputs.Cancel(None))
    answers(case, Return(result=7))
    assert (case.state.status, case.state.result) == ("completed", 7)


def test_a_budget_that_is_used_up_does_not_keep_its_run_from_cleaning_up() -> None:
    for budget, late in ((Budget(attempts=1), 0), (Budget(wall=60.0), 61)):
        case = Limited(budget)
        begun(case)
        case.step("a#1")
        case.now += late
        case.turn(schedule("b#1"))
        assert status_of(case) == "parked"
        assert types(case.happen(inputs.Cancel("enough"))) == ["run.resumed", "cancel.requested"]
        decision = answers(case, Withdraw(key="b#1"), schedule("undo#1"))
        assert do.Dispatch("undo#1", 1) in decision.now
        assert types(case.assign("undo#1")) == ["attempt.started"]
        assert status_of(case) == "running"


def test_a_child_cleans_up_within_the_budget_of_a_parent_that_goes_on() -> None:
    case = Limited(Budget(attempts=1), owner="parent")
    begun(case)
    case.step("a#1")
    case.happen(inputs.Cancel(None))
    decision = answers(case, Withdraw(key="a#1"), schedule("undo#1"))
    assert case.state.status == "paused"
    assert any(isinstance(effect, do.TellOverdrawn) for effect in decision.then)
    case.ledger._accounts["parent"].lifted = True  # its parent is cancelled too
    assert do.Dispatch("undo#1", 1) in case.happen(inputs.Resume()).now


def session() -> Case:
    case = Case()
    case.state = fold(None, ev.SessionOpened(at=case.now, run_id="s/k", app="app.py", session="s", key="k"))
    case.happen(inputs.Signal("Go", {}))
    return begun(case)


@pytest.mark.parametrize("ending", [Return(result=1), Raise(failure=ERROR), CANCELLED])
def test_a_cancelled_session_ends_with_its_turn_however_that_ends(ending: Any) -> None:
    case = session()
    case.turn(schedule("1/a#1"))
    case.happen(inputs.Signal("Go", {}))
    assert types(case.happen(inputs.Cancel("enough"))) == ["cancel.requested"]
    case.happen(inputs.Close())
    answers(case, Withdraw(key="1/a#1"), ending)
    assert (case.state.status, case.state.reason) == ("cancelled", "enough")


def test_a_session_without_a_message_is_cancelled_at_once() -> None:
    case = session()
    case.turn(Return(result=1))
    assert types(case.happen(inputs.Cancel(None))) == ["cancel.requested", "run.cancelled"]


def test_a_cancellation_recorded_by_an_earlier_version_has_no_limit() -> None:
    case = begun(Case())
    case.step("a#1")
    case.happen_recorded(ev.CancelRequested(at=case.now, reason=None))
    case.now += 3600
    assert do.StartProgram() in case.happen(inputs.Recover(orphaned=True)).then
    assert case.state.status == "running"
