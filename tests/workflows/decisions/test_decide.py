"""What is decided about everything that can happen to a run."""

from typing import Any

import pytest

from greenroom.messages.core.failures import Exit, Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import (
    Completed,
    Diverge,
    Failed,
    ProgramCommand,
    Raise,
    Return,
    ScheduleChild,
    ScheduleStep,
    ScheduleTimer,
    Turn,
    Withdraw,
)
from greenroom.messages.options.policy import Retry, StepOptions
from greenroom.messages.records.attempts import Reservation
from greenroom.messages.records.evaluation import Evaluation
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState
from greenroom.workflows.state.steps import complaints

NOW = 1000.0
STARTED = ev.RunStarted(at=NOW, run_id="r", app="app.py", workflow="w", arguments={})
NOTHING = Decision(fold(None, STARTED), NOW, 0.5)
"""The decision to do nothing; decisions are compared by what they record and do."""


class Case:
    """A run that things happen to, one after the other."""

    def __init__(self) -> None:
        self.state: RunState = fold(None, STARTED)
        self.now = NOW

    def happen(self, happened: inputs.Input) -> Decision:
        return decide(self.state, happened, self.now, 0.5)

    def turn(self, *commands: ProgramCommand, state: Any = None) -> Decision:
        return self.happen(inputs.ProgramTurn(Turn(run_id="r", commands=commands, state=state)))

    def happen_turn(self, turn: Turn) -> Decision:
        return self.happen(inputs.ProgramTurn(turn))

    def happen_recorded(self, event: ev.AnyEvent) -> None:
        """Have something on record that nobody decided here."""
        fold(self.state, event)

    def step(self, key: str = "search#1", **options: Any) -> Decision:
        """Have the program ask for a step and a worker begin it."""
        self.turn(schedule(key, **options))
        return self.assign(key)

    def assign(self, key: str = "search#1") -> Decision:
        attempt = self.state.steps[key].next_attempt
        return self.happen(inputs.StepAssigned(key, attempt, f"t{attempt}", "tool-1", 42, 1))

    def answer(self, result: Any, key: str = "search#1") -> Decision:
        attempt = len(self.state.steps[key].attempts)
        message = Completed(token=f"t{attempt}", result=result, duration=0.1)
        return self.happen(inputs.StepAnswered(key, attempt, f"t{attempt}", message))

    def fail(self, failure: Failure, key: str = "search#1") -> Decision:
        attempt = len(self.state.steps[key].attempts)
        message = Failed(token=f"t{attempt}", failure=failure, duration=0.1)
        return self.happen(inputs.StepAnswered(key, attempt, f"t{attempt}", message))

    def lose(self, gone: Exit, *, charged: bool = True, key: str = "search#1") -> Decision:
        attempt = len(self.state.steps[key].attempts)
        return self.happen(inputs.StepLost(key, attempt, f"t{attempt}", gone, charged))

    def judge(self, *evaluations: Evaluation, key: str = "search#1") -> Decision:
        attempt = len(self.state.steps[key].attempts)
        return self.happen(inputs.StepJudged(key, attempt, evaluations))


def schedule(key: str = "search#1", **options: Any) -> ScheduleStep:
    kind = options.pop("kind", "tool")
    return ScheduleStep(
        key=key,
        name="search",
        kind=kind,
        step="app:search",
        arguments={"args": [], "kwargs": {}},
        options=StepOptions(**options),
    )


def evaluation(score: float | None, threshold: float = 0.8) -> Evaluation:
    passed = score is not None and score >= threshold
    return Evaluation(name="concise", score=score, passed=passed, threshold=threshold, reason="too long")


def types(decision: Decision) -> list[str]:
    return [event.type for event in decision.events]


KILLED = Exit(kind="signaled", signal="SIGKILL")
ERROR = Failure(outcome="error", type="ValueError", message="no", classes=("builtins.ValueError", "builtins.Exception"))


def test_a_result_is_told_to_the_program_only_after_it_is_recorded() -> None:
    case = Case()
    case.step()
    decision = case.answer(["otter"])
    assert types(decision) == ["attempt.ended", "step.completed"]
    assert decision.now == []
    assert decision.then == [do.ReleaseSteps()]
    assert case.state.resolutions[-1].value == ["otter"]


def test_a_result_with_a_superseded_token_changes_nothing() -> None:
    case = Case()
    case.step()
    case.lose(KILLED)
    case.assign()
    late = Completed(token="t1", result="late", duration=9.0)
    decision = case.happen(inputs.StepAnswered("search#1", 1, "t1", late))
    assert decision == NOTHING


def test_a_step_that_is_asked_for_again_is_not_scheduled_again() -> None:
    case = Case()
    case.step()
    assert case.turn(schedule()) == NOTHING


def test_a_crash_is_an_attempt_and_the_next_one_comes_after_a_backoff() -> None:
    case = Case()
    case.step(retry=Retry(initial=2.0, jitter=0.0))
    decision = case.lose(KILLED)
    assert types(decision) == ["attempt.ended", "retry.scheduled"]
    assert case.state.retries == {"search#1": NOW + 2.0}
    assert case.state.steps["search#1"].attempts[0].outcome == "crash"
    case.now += 2.0
    assert case.happen(inputs.Tick()).now == [do.Dispatch("search#1", 2)]


def test_an_injected_fault_is_not_charged_and_the_step_runs_again_at_once() -> None:
    case = Case()
    case.step(retry=Retry(attempts=1))
    decision = case.lose(KILLED, charged=False)
    assert decision.now == [do.Dispatch("search#1", 2)]


def test_a_step_without_attempts_left_fails_with_its_last_failure() -> None:
    case = Case()
    case.step(retry=Retry(attempts=1))
    decision = case.fail(ERROR)
    assert types(decision) == ["attempt.ended", "step.failed"]
    assert case.state.resolutions[-1].failure == ERROR
    assert case.state.resolutions[-1].reason == "exhausted"


def test_a_once_step_that_was_cut_off_is_not_run_again() -> None:
    case = Case()
    decision = case.step(once=True)
    assert decision.then == [do.SendHeld("t1")], "it may begin only after its start is on the disk"
    case.lose(KILLED)
    assert case.state.resolutions[-1].reason == "unknown"


def test_a_model_call_begins_only_after_its_start_is_on_the_disk() -> None:
    case = Case()
    assert case.step(kind="llm").then == [do.SendHeld("t1")]


def test_a_rejected_result_is_retried_with_what_was_wrong_with_it() -> None:
    case = Case()
    case.step(accept=("app:concise",), threshold=0.8, retry=Retry(initial=0.0))
    assert case.answer("long").now == [do.Judge("search#1", 1)]
    decision = case.judge(evaluation(0.4))
    assert types(decision) == ["step.evaluated", "retry.scheduled"]
    step = case.state.steps["search#1"]
    assert step.attempts[0].outcome == "rejected"
    assert step.feedback == ["concise gave 0.40 where 0.80 is needed: too long"]


@pytest.mark.parametrize(
    ("score", "threshold", "told"),
    [
        (0.7999, 0.8, "0.7999 where 0.8000 is needed"),
        (0.1 + 0.2, 0.3 + 1e-16, "0.3000000000000000 where 0.3000000000000001 is needed"),
        (0.5, 0.5, "0.50 where more than 0.50 is needed"),
        (0.0, 1.0, "0.00 where 1.00 is needed"),
    ],
)
def test_what_is_told_of_a_rejection_shows_that_the_score_is_too_low(score: float, threshold: float, told: str) -> None:
    low = evaluation(0.1).model_copy(update={"score": score, "threshold": threshold, "reason": ""})
    assert list(complaints([low])) == [f"{low.name} gave {told}"]


def test_judges_are_asked_in_a_second_round_and_not_over_budget_or_in_a_pause() -> None:
    case = Case()
    case.step(accept=("app:tone",))
    assert case.happen(inputs.JudgesDue("search#1")) == NOTHING, "there is no result yet"
    case.answer("text")
    assert case.happen(inputs.JudgesDue("search#1")).now == [do.AskJudges("search#1")]
    over = Overdraft("r", "the budget of run r is used up")
    decision = decide(case.state, inputs.JudgesDue("search#1"), NOW, 0.5, over)
    assert types(decision) == ["run.parked"]
    assert decision.now == [do.WithdrawStep("search#1"), do.EndProgram()]
    assert case.happen(inputs.JudgesDue("search#1")).now == [do.WithdrawStep("search#1")]
    assert do.Judge("search#1", 1) in case.happen(inputs.Resume()).now


def test_a_budget_of_attempts_that_is_used_up_lets_judges_be_asked_and_no_attempt_begin() -> None:
    case = Case()
    case.step(accept=("app:tone",), threshold=0.8, retry=Retry(initial=0.0))
    case.answer("text")
    over = Overdraft("r", "the budget of run r is used up", of_attempts=True)
    assert decide(case.state, inputs.JudgesDue("search#1"), NOW, 0.5, over).now == [do.AskJudges("search#1")]
    reserved = inputs.JudgeReserved("search#1", 1, "j1", "tone", Reservation(usd=0.1, tokens=10, max_tokens=5))
    assert types(decide(case.state, reserved, NOW, 0.5, over)) == ["judge.asked"]
    judged = inputs.StepJudged("search#1", 1, (evaluation(0.4),))
    assert types(decide(case.state, judged, NOW, 0.5, over)) == ["step.evaluated", "retry.scheduled", "run.parked"]


def test_members_of_a_panel_decide_through_it_alone() -> None:
    case = Case()
    case.step(accept=("app:tone", "app:facts"), retry=Retry(initial=0.0))
    case.answer("text")
    low = evaluation(0.1).model_copy(update={"panel": "both"})
    both = evaluation(0.9).model_copy(update={"name": "both"})
    assert types(case.judge(low, both)) == ["step.evaluated", "step.completed"]
    case = Case()
    case.step(accept=("app:tone", "app:facts"), retry=Retry(initial=0.0))
    case.answer("text")
    case.judge(low, both.model_copy(update={"score": 0.2, "passed": False, "reason": "so-so"}))
    assert case.state.steps["search#1"].feedback == ["both gave 0.20 where 0.80 is needed: so-so"]


def test_a_result_rejected_on_every_attempt_fails_the_step_as_rejected() -> None:
    case = Case()
    case.step(accept=("app:concise",), retry=Retry(attempts=1))
    case.answer("long")
    long = evaluation(0.2).model_copy(update={"name": "tone", "reason": "very " * 100})
    case.judge(evaluation(0.1), long)
    failed = case.state.resolutions[-1]
    assert (failed.reason, failed.failure.message[:56]) == (
        "rejected",
        "rejected: concise gave 0.10 where 0.80 is needed: too lo",
    )
    assert failed.failure.message.endswith("...")
    assert len(failed.failure.message) < 450


@pytest.mark.parametrize(
    ("on_reject", "score", "flagged"), [("flag", 0.1, True), ("retry", 0.9, False), ("retry", None, True)]
)
def test_a_result_goes_on_flagged_where_policy_or_a_broken_evaluator_says_so(
    on_reject: Any, score: float | None, flagged: bool
) -> None:
    case = Case()
    case.step(accept=("app:concise",), on_reject=on_reject)
    case.answer("text")
    decision = case.judge(evaluation(score))
    assert types(decision) == ["step.evaluated", "step.completed"]
    assert case.state.steps["search#1"].flagged is flagged


def test_a_verdict_about_an_attempt_that_was_judged_already_changes_nothing() -> None:
    case = Case()
    case.step(accept=("app:concise",))
    case.answer("text")
    case.judge(evaluation(1.0))
    assert case.judge(evaluation(0.0)) == NOTHING


def test_the_end_of_a_run_ends_everything_that_still_goes_on_for_it() -> None:
    case = Case()
    case.step()
    case.turn(ScheduleTimer(key="timer#1", seconds=60), ScheduleChild(key="child#1", workflow="c", arguments={}))
    decision = case.turn(Return(result=1))
    assert case.state.status == "completed"
    assert do.WithdrawStep("search#1") in decision.now
    assert do.CancelChild("child#1", "r~1") in decision.then
    assert do.EndProgram() in decision.now
    assert decision.then[-1] == do.Announce()
    assert case.state.timers == {}
    assert case.state.in_flight == 0


def test_nothing_happens_after_a_run_has_ended() -> None:
    case = Case()
    case.step()
    case.turn(Raise(failure=ERROR))
    assert case.state.status == "failed"
    for happened in (
        inputs.Tick(),
        inputs.Cancel(None),
        inputs.Recover(orphaned=True),
        inputs.ProgramTurn(Turn(run_id="r")),
    ):
        assert case.happen(happened) == NOTHING


def test_a_run_is_cancelled_at_once_where_no_program_could_clean_up() -> None:
    case = Case()
    assert types(case.happen(inputs.Cancel(None))) == ["cancel.requested", "run.cancelled"]


def test_a_program_that_takes_its_process_down_three_times_fails_its_run() -> None:
    case = Case()
    for _ in range(2):
        case.happen(inputs.ProgramAssigned("program-1", 7, 1))
        assert case.happen(inputs.ProgramLost(KILLED, charged=True)).then == [do.StartProgram()]
    case.happen(inputs.ProgramLost(KILLED, charged=True))
    assert case.state.status == "failed"
    assert case.state.failure is not None
    assert case.state.failure.exit == KILLED


def test_a_bystander_of_a_dead_program_worker_goes_on_for_ever() -> None:
    case = Case()
    for _ in range(10):
        assert case.happen(inputs.ProgramLost(KILLED, charged=False)).then == [do.StartProgram()]


def test_a_program_that_diverges_is_parked_and_can_be_resumed() -> None:
    case = Case()
    case.step()
    case.turn(Diverge(detail="the journal holds x, the code asks for y"))
    assert case.state.status == "parked"
    assert case.state.reason is not None
    assert "the code asks for y" in case.state.reason
    decision = case.happen(inputs.Resume())
    assert types(decision) == ["run.resumed"]
    assert do.StartProgram() in decision.then


def test_a_paused_run_begins_nothing_records_what_ends_and_goes_on_when_resumed() -> None:
    case = Case()
    case.turn(schedule("a#1"), schedule("b#1"), ScheduleTimer(key="timer#1", seconds=1))
    case.happen(inputs.StepAssigned("a#1", 1, "t1", "tool-1", 1, 1))
    decision = case.happen(inputs.Pause("for lunch"))
    assert types(decision) == ["run.paused"]
    assert decision.now == [do.EndProgram(), do.WithdrawStep("b#1")], "an attempt that runs may end"
    assert (case.state.status, case.state.reason) == ("paused", "for lunch")
    assert case.happen(inputs.Pause(None)) == NOTHING, "pausing twice is pausing once"
    assert case.happen(inputs.StepAssigned("b#1", 1, "t2", "tool-2", 2, 1)) == NOTHING, "it was taken back"
    case.now += 10
    assert case.happen(inputs.Tick()) == NOTHING
    assert types(case.happen(inputs.StepAnswered("a#1", 1, "t1", Failed(token="t1", failure=ERROR, duration=0.1)))) == [
        "attempt.ended",
        "retry.scheduled",
    ]
    case.now += 100
    decision = case.happen(inputs.Resume())
    assert types(decision) == ["run.resumed", "timer.fired"]
    assert {effect.key for effect in decision.now if isinstance(effect, do.Dispatch)} == {"a#1", "b#1"}
    assert do.StartProgram() in decision.then
    assert case.state.status == "running"


def test_children_pause_and_go_on_with_their_parent_unless_they_are_parked() -> None:
    case = Case()
    case.turn(ScheduleChild(key="child#1", workflow="c", arguments={}))
    assert case.happen(inputs.Pause(None)).then == [do.PauseChild("child#1")]
    assert do.ResumeChild("child#1") in case.happen(inputs.Resume()).then
    case.turn(Diverge(detail="the code changed"))
    assert case.happen(inputs.Resume(unless_parked=True)) == NOTHING
    assert case.happen(inputs.Pause(None)) == NOTHING, "a parked run waits for a person already"


def test_children_are_told_again_after_a_crash_unless_a_person_has_decided_otherwise_since() -> None:
    case, child = Case(), Case()
    case.turn(ScheduleChild(key="child#1", workflow="c", arguments={}))
    again = inputs.Recover(orphaned=True)
    assert not any(isinstance(effect, do.PauseChild | do.ResumeChild) for effect in case.happen(again).then)
    case.happen(inputs.Pause(None))
    assert do.PauseChild("child#1", again=True) in case.happen(again).then
    pause = inputs.Pause(None, with_parent=True, unless_resumed_since=case.state.halted_at)
    assert types(child.happen(pause)) == ["run.paused"]
    case.now += 1
    case.happen(inputs.Resume())
    assert do.ResumeChild("child#1", again=True) in case.happen(again).then
    resume = inputs.Resume(unless_parked=True, only_with_parent=True)
    child.now += 1
    assert "run.resumed" in types(child.happen(resume))
    assert child.happen(pause) == NOTHING, "it was resumed since"
    child.happen(inputs.Pause("by a person"))
    assert child.happen(resume) == NOTHING


def test_a_paused_run_is_cancelled_at_once_as_nobody_is_there_to_clean_up() -> None:
    case = Case()
    case.happen(inputs.ProgramAssigned("program-1", 7, 1))
    case.happen(inputs.Pause(None))
    assert types(case.happen(inputs.Cancel("enough"))) == ["cancel.requested", "run.cancelled"]


def test_recovery_charges_nobody_for_the_orchestrators_death() -> None:
    case = Case()
    case.happen(inputs.ProgramAssigned("program-1", 7, 1))
    case.step(retry=Retry(attempts=1))
    decision = case.happen(inputs.Recover(orphaned=True))
    assert types(decision) == ["attempt.ended", "retry.scheduled", "program.ended"]
    assert case.state.steps["search#1"].attempts[0].charged is False
    assert do.Dispatch("search#1", 2) in decision.now
    assert do.StartProgram() in decision.then


def test_recovery_judges_again_what_was_being_judged() -> None:
    case = Case()
    case.step(accept=("app:concise",))
    case.answer("text")
    assert do.Judge("search#1", 1) in case.happen(inputs.Recover(orphaned=True)).now


def test_recovering_twice_records_nothing_new() -> None:
    case = Case()
    case.step()
    case.happen(inputs.Recover(orphaned=True))
    assert case.happen(inputs.Recover(orphaned=True)).events == []


def test_a_withdrawn_step_is_stopped_and_its_late_result_dropped() -> None:
    case = Case()
    case.step()
    decision = case.turn(Withdraw(key="search#1"))
    assert decision.now == [do.WithdrawStep("search#1")]
    assert case.state.steps["search#1"].status == "cancelled"
    assert case.state.resolutions == []
    assert (
        case.happen(inputs.StepAnswered("search#1", 1, "t1", Completed(token="t1", result=1, duration=0.1))) == NOTHING
    )


def test_a_change_of_state_is_recorded_before_the_steps_it_came_with() -> None:
    case = Case()
    decision = case.turn(schedule(), state={"n": 1})
    assert types(decision) == ["state.changed", "step.scheduled"]
    assert case.turn(state={"n": 1}) == NOTHING, "a replay says the same again"
    assert [event.type for event in case.turn(state={"n": True}).events] == ["state.changed"], "a flag is no number"
    assert case.turn(state={"n": True}) == NOTHING


def test_every_resolution_of_the_state_has_its_word_to_the_program() -> None:
    case = Case()
    case.turn(ScheduleChild(key="child#1", workflow="c", arguments={}), ScheduleTimer(key="timer#1", seconds=1))
    told = 0
    case.now += 1
    for happened in (
        inputs.Tick(),
        inputs.ChildFinished("child#1", 1, None),
        inputs.ChildFinished("child#1", 2, None),
        inputs.ProgramTurn(Turn(run_id="r", commands=(schedule("a#1"), schedule("b#1")))),
        inputs.StepAssigned("a#1", 1, "t1", "tool-1", 1, 1),
        inputs.StepAnswered("a#1", 1, "t1", Completed(token="t1", result=1, duration=0.1)),
    ):
        told += case.happen(happened).then.count(do.ReleaseSteps())
    assert told == len(case.state.resolutions) == 3


def test_what_the_last_turn_withdrew_is_not_ended_once_more_with_the_run() -> None:
    case = Case()
    case.step()
    case.turn(ScheduleChild(key="child#1", workflow="w", arguments={}))
    decision = case.turn(Withdraw(key="search#1"), Withdraw(key="child#1"), Return(result=None))
    assert types(decision) == ["attempt.ended", "step.failed", "child.ended", "run.completed"]
    assert case.state.in_flight == 0
