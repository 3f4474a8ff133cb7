"""A model without quota: the attempt is not charged, the run waits, and what resumes it makes the attempt again."""

import pytest

from greenroom import QuotaExceeded, Retry
from greenroom.actors.failures.description import describe_exception
from greenroom.messages.core.failures import Failure
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Completed, Failed, ScheduleChild
from greenroom.messages.options.policy import StepOptions
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.state.fold import fold
from tests.workflows.decisions.test_decide import NOW, Case, schedule, types

SAID = "the account for the model 'm' has no credit or quota left (pay first): top it up or raise its limit"
UNPAID = describe_exception(QuotaExceeded(SAID))
BROKEN = Failure(outcome="error", type="OSError", message="broken", classes=("builtins.OSError", "builtins.Exception"))


def answer(case: Case, key: str, failure: Failure | None = None) -> Decision:
    """Begin the next attempt of a step, and let it fail, or succeed without a failure."""
    number = case.state.steps[key].next_attempt
    token = f"{key}:{number}"
    if case.state.steps[key].running is None:
        case.happen(inputs.StepAssigned(key, number, token, "llm.1", 1, 1))
    attempt = case.state.steps[key].attempts[-1]
    message = (
        Completed(token=attempt.token, result=1, duration=0.1)
        if failure is None
        else Failed(token=attempt.token, failure=failure, duration=0.1)
    )
    return case.happen(inputs.StepAnswered(key, attempt.number, attempt.token, message))


def asked(*keys: str, **options: object) -> Case:
    case = Case()
    for key in keys:
        case.turn(schedule(key, kind="llm", **options))
    return case


def test_the_refused_attempt_is_not_charged_and_the_run_is_parked_with_what_to_do() -> None:
    case = asked("a#1")
    decision = answer(case, "a#1", UNPAID)
    assert types(decision) == ["attempt.ended", "retry.scheduled", "run.parked"]
    assert not case.state.steps["a#1"].attempts[0].charged
    assert case.state.reason == (
        f"step a#1 waits for quota: {SAID}; once the account has quota again, `greenroom runs resume r` goes on with it"
    )
    resumed = case.happen(inputs.Resume())
    assert do.Dispatch("a#1", 2) in resumed.now
    assert types(answer(case, "a#1")) == ["attempt.ended", "step.completed"]


def test_a_tool_that_asks_a_model_itself_waits_too() -> None:
    case = Case()
    case.turn(schedule("a#1", kind="tool"))
    assert types(answer(case, "a#1", UNPAID))[-1] == "run.parked"


def test_refusals_use_up_neither_the_attempts_nor_the_time_of_a_step() -> None:
    case = asked("a#1", retry=Retry(attempts=2, within=10.0, jitter=0.0))
    answer(case, "a#1", BROKEN)
    for _ in range(5):
        case.now += 3600.0
        case.happen(inputs.Tick())
        assert types(answer(case, "a#1", UNPAID))[-1] == "run.parked"
        case.now += 3600.0
        case.happen(inputs.Resume())
    assert types(answer(case, "a#1", BROKEN)) == ["attempt.ended", "step.failed"], "the second charged one of two"
    assert case.state.steps["a#1"].next_attempt == 8


def test_the_time_of_a_step_is_counted_from_the_attempt_after_the_refusal() -> None:
    case = asked("a#1", retry=Retry(attempts=9, within=10.0, jitter=0.0))
    answer(case, "a#1", UNPAID)
    case.now += 3600.0
    case.happen(inputs.Resume())
    assert types(answer(case, "a#1", BROKEN)) == ["attempt.ended", "retry.scheduled"]


@pytest.mark.parametrize(
    "options",
    [
        {"has_fallback": True},
        {"once": True},
        {"retry": Retry(never=(QuotaExceeded,))},
    ],
)
def test_a_step_fails_at_once_if_something_else_follows_a_refusal(options: dict[str, object]) -> None:
    case = asked("a#1", **options)
    assert types(answer(case, "a#1", UNPAID)) == ["attempt.ended", "step.failed"]
    assert case.state.halted is None


def test_the_cleanup_of_a_cancelled_run_is_not_held_back() -> None:
    case = asked("a#1")
    case.happen(inputs.Cancel(None))
    case.happen(inputs.StepAssigned("a#1", 1, "t", "llm.1", 1, 1))
    decision = case.happen(inputs.StepAnswered("a#1", 1, "t", Failed(token="t", failure=UNPAID, duration=0.1)))
    assert "run.parked" not in types(decision)


def test_answers_under_way_are_kept_and_further_refusals_change_nothing() -> None:
    case = asked("a#1", "b#1", "c#1", "d#1")
    for key in ("a#1", "b#1", "c#1"):
        case.happen(inputs.StepAssigned(key, 1, f"{key}:1", "llm.1", 1, 1))
    parked = answer(case, "b#1", UNPAID)
    assert do.WithdrawStep("d#1") in parked.now, "it waited for a worker, and would be refused too"
    assert do.EndProgram() in parked.now
    assert types(answer(case, "a#1")) == ["attempt.ended", "step.completed"]
    assert types(answer(case, "c#1", UNPAID)) == ["attempt.ended", "retry.scheduled"]
    resumed = case.happen(inputs.Resume())
    assert [each for each in resumed.now if isinstance(each, do.Dispatch)] == [
        do.Dispatch("b#1", 2),
        do.Dispatch("c#1", 2),
        do.Dispatch("d#1", 1),
    ]
    assert case.state.steps["a#1"].status == "completed"


def child() -> Case:
    case = Case()
    case.state = fold(
        None, ev.RunStarted(at=NOW, run_id="p~1", app="app.py", workflow="w", arguments={}, parent="p", parent_key="k")
    )
    case.turn(schedule("a#1", kind="llm"))
    return case


def test_a_child_is_paused_and_the_run_at_the_top_is_parked_and_resumes_it() -> None:
    below, above = child(), Case()
    decision = answer(below, "a#1", UNPAID)
    assert types(decision)[-1] == "run.paused"
    (told,) = (each for each in decision.then if isinstance(each, do.TellRefused))
    assert (told.run_id, told.reason) == ("p", f"step a#1 of run p~1 waits for quota: {SAID}")
    assert below.state.reason == f"{told.reason}; it goes on with run p"
    above.turn(ScheduleChild(key="k", workflow="w", arguments={}))
    parked = above.happen(inputs.ChildRefused(told.reason, told.since))
    assert types(parked) == ["run.parked"]
    assert do.PauseChild("k") in parked.then
    above.now += 9.0
    assert do.ResumeChild("k") in above.happen(inputs.Resume()).then
    again = above.happen(inputs.ChildRefused(told.reason, told.since))
    assert not again.events, "the child was read from the journal in order to be resumed"
    assert again.then == [do.ResumeChild("k")]
    assert types(above.happen(inputs.ChildRefused(told.reason, above.now + 1.0))) == ["run.parked"]
    assert do.Dispatch("a#1", 2) in below.happen(inputs.Resume(unless_parked=True)).now


def test_a_paused_child_tells_it_again_when_it_is_read_from_the_journal() -> None:
    below = child()
    answer(below, "a#1", UNPAID)
    decision = below.happen(inputs.Recover(orphaned=True))
    assert do.TellRefused("p", f"step a#1 of run p~1 waits for quota: {SAID}", NOW) in decision.then
    below.happen(inputs.Resume())
    decision = below.happen(inputs.Recover(orphaned=True))
    assert not [each for each in decision.then if isinstance(each, do.TellRefused)]


def test_old_options_have_no_fallback() -> None:
    assert StepOptions.model_validate({}).has_fallback is False
