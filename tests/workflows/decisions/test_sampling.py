"""Which answers are rated in the background, and what is decided about their scores."""

from typing import Any

import pytest

from greenroom.messages.core.errors import BudgetUsedUp
from greenroom.messages.core.json_text import JsonText, plain
from greenroom.messages.events import events as ev
from greenroom.messages.frames.worker import Return
from greenroom.messages.options.policy import PanelOptions, SampledEvaluator, Sampling
from greenroom.messages.records.evaluation import Evaluation, is_sampled
from greenroom.messages.refusals import LONGEST_MESSAGE
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.budget_usage import Overdraft
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.state.fold import fold_all
from greenroom.workflows.state.run_state import SampledAnswer
from tests.workflows.decisions.test_decide import ERROR, NOW, STARTED, Case, evaluation, types

ALL = Sampling(evaluators=(SampledEvaluator(ref="app:kind", share=1.0),))
SCORE = Evaluation(name="kind", score=0.4, passed=False, threshold=0.7, background=True)


def sampled_step(sampling: Sampling = ALL, result: Any = "x") -> tuple[Case, Any]:
    case = Case()
    case.step(sample=sampling)
    return case, case.answer(result)


def rated(case: Case, sample: str = "search#1@1") -> Any:
    return case.happen(inputs.AnswerRated(sample, (SCORE,)))


def test_a_sampled_answer_is_used_at_once_and_rated_after_its_commit() -> None:
    case, decision = sampled_step()
    assert types(decision) == ["attempt.ended", "step.completed", "answer.sampled"]
    assert decision.then == [do.RateAnswer("search#1@1"), do.ReleaseSteps()]
    event = decision.events[-1]
    assert (event.result, event.arguments) == ("x", {"args": [], "kwargs": {}})
    assert (event.key, event.attempt, event.turn, event.threshold) == ("search#1", 1, 0, 0.7)
    assert case.state.sampled == {"search#1@1": SampledAnswer(case.state.seq, "search#1", 1, 0)}
    assert case.state.mark_changes[-1] == ("sampled", "search#1@1", case.state.seq)
    assert case.state.resolutions[-1].value == "x"


def test_scores_are_recorded_once_with_the_step_and_change_nothing_else() -> None:
    case, _ = sampled_step()
    before = case.state.status, len(case.state.resolutions)
    assert types(rated(case)) == ["answer.rated"]
    assert case.state.steps["search#1"].evaluations == [SCORE]
    assert (case.state.status, len(case.state.resolutions)) == before
    assert case.state.steps["search#1"].feedback == []
    assert case.state.mark_changes[-1] == ("sampled", "search#1@1", None)
    again = rated(case)
    assert (again.events, again.now, again.then) == ([], [], [])


def test_scores_that_come_after_the_end_are_recorded_and_the_run_stays_completed() -> None:
    case, _ = sampled_step()
    case.turn(Return(result="y", sampling=ALL))
    assert case.state.ended == "completed"
    assert types(rated(case)) == ["answer.rated"]
    assert types(rated(case, "result")) == ["answer.rated"]
    assert case.state.ended == "completed"
    assert case.state.result == "y"
    assert case.state.evaluations == [SCORE]
    assert case.state.sampled == {}


def test_the_result_of_a_run_is_sampled_in_the_append_of_its_end() -> None:
    case = Case()
    case.step()
    case.answer("x")
    decision = case.turn(Return(result="y", sampling=ALL))
    assert types(decision) == ["run.completed", "answer.sampled"]
    call: Any = plain(decision.events[1].arguments)
    assert call["kwargs"] == {}
    assert call["steps"] == [
        {"name": "search", "kind": "tool", "status": "completed", "arguments": {"args": [], "kwargs": {}}}
    ]


def test_a_gate_decides_first_and_what_it_rejects_is_not_sampled() -> None:
    case = Case()
    case.step(sample=ALL, accept=("app:concise",), on_reject="retry")
    assert types(case.answer("x")) == ["attempt.ended"]
    assert types(case.judge(evaluation(0.1))) == ["step.evaluated", "retry.scheduled"]
    case.assign()
    case.answer("y")
    decision = case.judge(evaluation(0.9))
    assert types(decision) == ["step.evaluated", "step.completed", "answer.sampled"]
    assert decision.events[-1].sample == "search#1@2"


def test_the_sample_follows_from_run_and_key_alone() -> None:
    some = Sampling(evaluators=(SampledEvaluator(ref="app:kind", share=0.1),))

    def chosen() -> list[str]:
        case = Case()
        found = []
        for number in range(1000):
            case.step(f"search#{number}", sample=some)
            found += [each.key for each in case.answer("x", f"search#{number}").events if each.type == "answer.sampled"]
        return found

    first = chosen()
    assert first == chosen()
    assert 60 <= len(first) <= 140
    assert first == [f"search#{number}" for number in range(1000) if is_sampled(f"r/search#{number}", 0.1)]


def test_a_larger_share_holds_what_a_smaller_one_does_and_the_shares_are_kept() -> None:
    subjects = [f"run-{number}" for number in range(10_000)]
    counts = {}
    for small, large in ((0.1, 0.3), (0.3, 0.9)):
        one, other = ({each for each in subjects if is_sampled(each, share)} for share in (small, large))
        assert one <= other
        counts |= {small: len(one), large: len(other)}
    assert all(abs(count / 10_000 - share) < 0.02 for share, count in counts.items()), counts
    assert not any(is_sampled(each, 0.0) for each in subjects)
    assert all(is_sampled(each, 1.0) for each in subjects)


def test_only_the_evaluators_whose_share_it_is_in_rate_an_answer() -> None:
    never = SampledEvaluator(ref="app:rare", share=1e-18)
    both = Sampling(evaluators=(never, *ALL.evaluators), panels=(PanelOptions(name="p"),))
    _, decision = sampled_step(both)
    assert decision.events[-1].sampling == both.model_copy(update={"evaluators": ALL.evaluators})
    _, decision = sampled_step(Sampling(evaluators=(never,)))
    assert types(decision) == ["attempt.ended", "step.completed"]


def test_an_answer_too_long_for_any_worker_is_not_rated_and_says_so() -> None:
    long = JsonText(b'"' + b"x" * LONGEST_MESSAGE + b'"', checked=True)
    case, decision = sampled_step(result=long)
    assert types(decision) == ["attempt.ended", "step.completed", "answer.rated"]
    (unrated,) = case.state.steps["search#1"].evaluations
    assert unrated.score is None
    assert "are the most" in (unrated.error or "")
    assert case.state.sampled == {}


@pytest.mark.parametrize("ended", [True, False])
def test_judges_are_asked_only_while_there_is_money_and_never_park_the_run(ended: bool) -> None:
    case, _ = sampled_step()
    if ended:
        case.turn(Return(result="y"))
    due = inputs.RatingDue("search#1@1")
    assert case.happen(due).receipt == 1
    poor = decide(case.state, due, NOW, 0.5, Overdraft("r", "the budget of run r is used up"))
    assert isinstance(poor.refused, BudgetUsedUp)
    assert str(poor.refused) == "not rated: the budget of run r is used up"
    assert (poor.events, poor.now, poor.then) == ([], [], [])
    assert case.state.halted is None
    over = Overdraft("r", "the budget of run r is used up", of_attempts=True)
    assert decide(case.state, due, NOW, 0.5, over).receipt == 1
    rated(case)
    assert case.happen(due).receipt == 0


def test_a_retry_of_the_run_keeps_what_is_to_be_rated() -> None:
    case, _ = sampled_step()
    case.happen_recorded(ev.RunFailed(at=NOW, failure=ERROR))
    case.happen_recorded(ev.RunRetried(at=NOW, cut=1, forgotten=("search#1",)))
    assert case.state.sampled.keys() == {"search#1@1"}
    assert types(rated(case)) == ["answer.rated"]
    assert "search#1" not in case.state.steps


def test_folding_needs_no_step_for_a_score() -> None:
    events = [STARTED, ev.AnswerRated(at=NOW, sample="gone#1@1", key="gone#1", attempt=1, evaluations=(SCORE,))]
    assert fold_all(events).evaluations == []
