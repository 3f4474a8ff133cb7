"""Answers that are rated in the background, in real processes: nothing about their runs waits for it or changes."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from greenroom import Orchestrator, Run, RunFailed, RunParked
from greenroom.messages.core.json_text import plain
from greenroom.testing import assert_state_is_fold, replay_export
from tests.acceptance.apps.judges import sampled
from tests.acceptance.harness import pools
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def orchestrator(tmp_path, home, mark, monkeypatch):
    monkeypatch.setenv("SAMPLED_FOLDER", str(tmp_path))
    with opened(tmp_path) as orchestrator:
        yield orchestrator


def opened(folder: Path, **options: Any) -> Orchestrator:
    return Orchestrator(folder / "runs.db", pools=pools(**options), env=("SAMPLED_FOLDER",))


def events(run: Run[Any], kind: str) -> list[Any]:
    return [stored.event for stored in run.events() if stored.type == kind]


def command(orchestrator: Orchestrator, *words: str) -> str:
    """Give what the command prints about the home of an orchestrator."""
    line = [sys.executable, "-m", "greenroom", "--home", str(orchestrator.home.path), *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout


def scores(run: Run[Any], number: int = 1, deadline: float = 30.0) -> list[Any]:
    """Wait for so many answers of a run to be rated; give the evaluations."""
    eventually(lambda: len(events(run, "answer.rated")) >= number, deadline, what="the scores")
    return [each for event in events(run, "answer.rated") for each in event.evaluations]


def test_a_run_ends_while_its_judge_still_thinks_and_gets_the_score_afterwards(orchestrator):
    run = orchestrator.start(sampled.ask, "patient")
    assert run.result(30) == "an answer", "the judge has not been released"
    eventually(lambda: len(sampled.asked()) == 1, 20)
    assert run.steps()[0].evaluations == ()
    assert orchestrator.metrics().workflows[0].steps[0].background == ()
    sampled.release()
    (evaluation,) = scores(run)
    (step,) = run.steps()
    assert step.evaluations == (evaluation,)
    assert (evaluation.name, evaluation.score, evaluation.passed) == ("patient", 0.4, False)
    assert evaluation.background
    assert evaluation.usage["usd"] == run.usage["usd"] == 0.25
    assert not step.flagged
    assert [attempt.outcome for attempt in step.attempts] == ["ok"]
    assert run.status == "completed"
    assert run.result(1) == "an answer"
    assert [stored.type for stored in run.events()][-2:] == ["run.completed", "answer.rated"]
    workers = {worker.pid: worker for worker in orchestrator.workers()}
    assert workers[sampled.asked()[0]["pid"]].pool == "background"
    figures = orchestrator.metrics().workflows[0].steps[0]
    (background,) = figures.background
    assert (background.evaluator, background.rated, background.passed, background.mean) == ("patient", 1, 0, 0.4)
    assert background.usage["usd"] == 0.25
    assert figures.rejections == 0
    assert figures.usage["usd"] == 0.0, "what the gate and the step have used is apart"
    assert_state_is_fold(orchestrator)


def test_a_judge_that_takes_two_seconds_does_not_hold_up_the_result(orchestrator):
    run = orchestrator.start(sampled.slow)
    run.result(30)
    scores(run)
    at = {stored.type: stored.event.at for stored in run.events()}
    assert at["run.completed"] - at["step.completed"] < 1.0
    assert at["answer.rated"] - at["step.completed"] >= 2.0


def test_the_scores_are_shown_by_the_command_line_and_with_the_run(orchestrator, tmp_path):
    sampled.release()
    run = orchestrator.start(sampled.rated, "patient")
    run.result(30)
    scores(run, 2)
    assert {each.name: each.score for each in run.record.evaluations} == {"long": 0.9, "patient": 0.4}
    assert run.usage["usd"] == 0.5
    page = command(orchestrator, "runs", "show", run.id)
    assert page.count("patient: 0.40 of 0.70 (in the background), it is patient") == 2
    shown = json.loads(command(orchestrator, "-o", "json", "runs", "show", run.id))
    assert [each["background"] for each in shown["steps"][0]["evaluations"]] == [True]
    assert {each["name"] for each in shown["evaluations"]} == {"long", "patient"}
    figures = {each.evaluator: each.mean for each in orchestrator.metrics().workflows[0].background}
    assert figures == {"long": 0.9, "patient": 0.4}


def test_evaluators_of_a_whole_run_see_its_inputs_and_its_steps(orchestrator):
    sampled.release()
    run = orchestrator.start(sampled.rated, "never")
    run.result(30)
    scores(run)
    (event,) = events(run, "answer.sampled")
    call: Any = plain(event.arguments)
    assert call["kwargs"] == {"which": "never"}
    assert [(step["name"], step["status"]) for step in call["steps"]] == [("h", "completed")]
    assert "never" in sampled.asked()[0]["prompt"]


def test_a_judge_that_fails_is_recorded_as_such_and_touches_nothing(orchestrator):
    run = orchestrator.start(sampled.ask, "garbled")
    assert run.result(30) == "an answer"
    by_name = {each.name: each for each in scores(run)}
    assert by_name["garbled"].score is None
    assert "not JSON" in by_name["garbled"].error
    assert by_name["long"].score == 0.9
    (step,) = run.steps()
    assert not step.flagged
    assert run.status == "completed"
    figures = {each.evaluator: each for each in orchestrator.metrics().workflows[0].steps[0].background}
    assert (figures["garbled"].unrated, figures["garbled"].rated, figures["garbled"].mean) == (1, 0, None)


def test_a_panel_and_rules_rate_in_the_background_too_and_judges_whatever_a_rule_says(orchestrator):
    run = orchestrator.start(sampled.ask, "panel")
    run.result(30)
    by_name = {each.name: each for each in scores(run)}
    assert by_name["contains 'question'"].score == 0.0
    assert by_name["panel"].score == pytest.approx(0.85)
    assert by_name["strict"].panel == "panel"
    assert by_name["strict"].score == 0.8


def test_an_evaluator_that_kills_its_process_is_asked_again_and_its_score_recorded_once(orchestrator):
    run = orchestrator.start(sampled.ask, "deadly")
    run.result(30)
    (evaluation,) = scores(run)
    assert evaluation.score == 0.5
    assert len(events(run, "answer.rated")) == 1


def test_the_worker_of_a_judge_is_killed_between_the_answer_and_its_score(orchestrator):
    run = orchestrator.start(sampled.ask, "patient")
    run.result(30)
    eventually(lambda: len(sampled.asked()) == 1, 20)
    worker = next(each for each in orchestrator.workers() if each.pid == sampled.asked()[0]["pid"])
    orchestrator.kill(worker.id, signal.SIGKILL)
    eventually(lambda: len(sampled.asked()) == 2, 20)
    sampled.release()
    (evaluation,) = scores(run)
    assert evaluation.score == 0.4
    assert sampled.asked()[1]["pid"] != worker.pid
    assert len(run.steps()[0].attempts) == 1


def test_an_evaluator_in_the_background_keeps_no_other_job_waiting(tmp_path, home, mark, monkeypatch):
    monkeypatch.setenv("SAMPLED_FOLDER", str(tmp_path))
    with opened(tmp_path, evaluator={"size": 1}, llm={"size": 1}) as orchestrator:
        first = orchestrator.start(sampled.ask, "held")
        assert first.result(30) == "an answer"
        eventually((tmp_path / "held").exists, 20)
        assert orchestrator.start(sampled.ask, "gated").result(30) == "an answer"
        assert first.steps()[0].evaluations[0].name == "gate"
        assert len(first.steps()[0].evaluations) == 1, "the one in the background still waits"
        sampled.release()
        scores(first)
        assert [each.background for each in first.steps()[0].evaluations] == [False, True]


def test_without_money_left_judges_are_skipped_and_say_so_and_the_run_is_not_parked(orchestrator):
    run = orchestrator.start(sampled.thrifty)
    assert run.result(30) == "an answer"
    by_name = {each.name: each for each in scores(run)}
    assert by_name["patient"].score is None
    assert "not rated: the budget of run" in by_name["patient"].error
    assert "0.25 of 0.25 USD" in by_name["patient"].error
    assert by_name["long"].score == 0.9
    assert sampled.asked() == []
    assert run.status == "completed"


def test_a_judge_who_may_need_more_than_is_left_is_skipped_and_stops_nothing(orchestrator):
    run = orchestrator.start(sampled.frugal)
    by_name = {each.name: each for each in scores(run)}
    assert by_name["patient"].score is None
    assert "not rated: the budget of run" in by_name["patient"].error
    assert "the next call of" in by_name["patient"].error
    assert by_name["even"].score == 1.0
    run.signal(sampled.Go())
    assert run.result(30) == 5
    scores(run, 2)
    assert sampled.asked() == []
    assert run.status == "completed"
    assert_state_is_fold(orchestrator)


def test_what_a_judge_costs_in_the_background_counts_for_the_budget(orchestrator):
    sampled.release()
    run = orchestrator.start(sampled.generous)
    scores(run)
    run.signal(sampled.Go())
    with pytest.raises(RunParked, match=r"0\.5 of 0\.5 USD"):
        run.result(30)


def test_a_thousand_answers_have_the_same_sample_twice_and_each_is_rated_once(
    tmp_path, home, mark, monkeypatch, figure
):
    monkeypatch.setenv("SAMPLED_FOLDER", str(tmp_path))
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with Orchestrator(
            tmp_path / name / "runs.db", home=tmp_path / name / "home", pools=pools(), env=("SAMPLED_FOLDER",)
        ) as orchestrator:
            run = orchestrator.start(sampled.many, 1000, id="thousand")
            assert run.result(60) == 999_000
            keys = [event.key for event in events(run, "answer.sampled")]
            scores(run, len(keys), 60)
            assert Counter(event.key for event in events(run, "answer.rated")) == Counter(keys)
            assert {step.key for step in run.steps() if step.evaluations} == set(keys)
            assert run.steps()[0].status == run.status == "completed"
            (background,) = orchestrator.metrics().workflows[0].steps[0].background
            assert background.rated == len(keys)
            found.append(sorted(keys))
            assert_state_is_fold(run)
    assert found[0] == found[1]
    assert 60 <= len(found[0]) <= 140
    figure("answers of 1,000 that are rated with a share of 0.1", len(found[0]))


def test_only_the_final_answer_of_an_agent_is_rated(orchestrator):
    run = orchestrator.start(sampled.inquire, "how are otters?")
    assert run.result(30) == "otters are fine"
    (evaluation,) = scores(run)
    assert evaluation.score == 0.9
    (event,) = events(run, "answer.sampled")
    assert event.key == "agent#1/model#2"
    assert plain(event.result) == "otters are fine"
    assert plain(event.arguments) == {"args": ["how are otters?"], "kwargs": {}}


def test_replies_of_a_session_and_the_steps_of_its_turns_are_rated(orchestrator):
    session = orchestrator.session(sampled.chat, "k")
    for number in (1, 2, 3):
        assert session.ask(sampled.Say(text="patient"), timeout=30) == f"{number}: an answer"
    session.close()
    sampled.release()

    def all_rated() -> bool:
        return all(turn.evaluations and turn.steps[0].evaluations for turn in session.history())

    eventually(all_rated, 30)
    for turn in session.history():
        assert [each.name for each in turn.evaluations] == ["long"]
        assert [each.name for each in turn.steps[0].evaluations] == ["patient"]
        assert turn.evaluations[0].background
    assert session.state.turns == 3
    assert_state_is_fold(orchestrator)


def test_a_session_goes_on_and_leaves_memory_while_answers_of_earlier_turns_are_not_rated(orchestrator):
    session = orchestrator.session(sampled.chat, "k")
    session.ask(sampled.Say(text="patient"), timeout=30)
    eventually(lambda: len(sampled.asked()) == 1, 20)
    eventually(lambda: orchestrator.peek("chat/k") is None, 20, what="leaving memory")
    assert session.ask(sampled.Say(text="never"), timeout=30) == "2: an answer"
    eventually(lambda: orchestrator.peek("chat/k") is None, 20, what="leaving memory")
    sampled.release()
    eventually(lambda: session.history()[0].steps[0].evaluations, 30)
    assert session.history()[1].steps[0].evaluations == ()
    assert session.ask(sampled.Say(text="never"), timeout=30) == "3: an answer"
    assert_state_is_fold(orchestrator)


def test_a_fork_shares_scores_and_has_only_its_own_answers_rated(orchestrator):
    sampled.release()
    run = orchestrator.start(sampled.waiting, "patient")
    scores(run)
    run.signal(sampled.Go())
    run.result(30)
    before = len(sampled.asked())
    fork = run.fork(at="h#1")
    assert fork.result(30) == "an answeran answer"
    assert [each.score for each in fork.steps()[0].evaluations] == [0.4]
    assert events(fork, "answer.sampled") == []
    assert len(sampled.asked()) == before
    again = run.fork()
    again.signal(sampled.Go())
    again.result(30)
    scores(again)
    assert len(sampled.asked()) == before + 1
    assert_state_is_fold(orchestrator)


def test_a_failed_run_is_retried_while_its_answers_are_not_rated(orchestrator, tmp_path):
    run = orchestrator.start(sampled.failing, "patient")
    with pytest.raises(RunFailed, match="not yet"):
        run.result(30)
    eventually(lambda: len(sampled.asked()) == 1, 20)
    (tmp_path / "mended").touch()
    run.retry()
    assert run.result(30) == "an answer"
    sampled.release()
    scores(run)
    assert [each.score for each in run.steps()[0].evaluations] == [0.4]
    assert len(events(run, "answer.rated")) == 1
    assert_state_is_fold(orchestrator)


def test_the_failure_of_a_run_is_shown_after_a_late_score(orchestrator):
    run = orchestrator.start(sampled.failing, "patient")
    with pytest.raises(RunFailed, match="not yet"):
        run.result(30)
    sampled.release()
    scores(run)
    assert "not yet" in run.record.failure.message
    with pytest.raises(RunFailed, match="not yet"):
        run.result(1)


def test_a_cancelled_run_stays_cancelled_and_the_answers_it_had_used_are_rated(orchestrator):
    run = orchestrator.start(sampled.waiting, "patient")
    eventually(lambda: len(sampled.asked()) == 1, 20)
    run.cancel("enough")
    eventually(lambda: run.status == "cancelled", 20)
    sampled.release()
    scores(run)
    assert run.status == "cancelled"
    assert run.record.reason == "enough"
    assert [each.score for each in run.steps()[0].evaluations] == [0.4]


def test_a_child_is_rated_as_its_parent_is(orchestrator):
    sampled.release()
    run = orchestrator.start(sampled.parent, "never")
    assert run.result(30) == "an answer"
    scores(run)
    assert [each.name for each in run.record.evaluations] == ["long"]
    child = next(each for each in orchestrator.runs() if each.parent == run.id)
    scores(orchestrator.get(child.id))


def test_an_export_with_scores_replays(orchestrator, tmp_path):
    sampled.release()
    run = orchestrator.start(sampled.rated, "patient")
    run.result(30)
    scores(run, 2)
    file = tmp_path / "run.jsonl"
    command(orchestrator, "runs", "export", run.id, "--to", str(file))
    replay_export(file, sampled.rated)


@pytest.mark.parametrize("ended", [True, False])
def test_closing_waits_for_no_judge_and_the_next_orchestrator_goes_on_with_the_answer(
    ended, tmp_path, home, mark, monkeypatch
):
    monkeypatch.setenv("SAMPLED_FOLDER", str(tmp_path))
    with opened(tmp_path) as orchestrator:
        run = orchestrator.start(sampled.ask if ended else sampled.waiting, "patient", id="r")
        if ended:
            run.result(30)
        eventually(lambda: len(sampled.asked()) == 1, 20)
    assert not Path(f"/proc/{sampled.asked()[0]['pid']}").exists()
    sampled.release()
    with opened(tmp_path) as orchestrator:
        run = orchestrator.get("r")
        (evaluation,) = scores(run)
        assert (evaluation.score, evaluation.background) == (0.4, True)
        assert run.status == ("completed" if ended else "waiting")
        if not ended:
            run.signal(sampled.Go())
            assert run.result(30) == "an answeran answer"
        assert len(events(run, "answer.rated")) == 1
        assert len(sampled.asked()) == 2
        assert_state_is_fold(orchestrator)
