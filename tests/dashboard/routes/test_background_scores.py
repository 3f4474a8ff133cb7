"""Background scores, through each door: the library, the client, HTTP and Prometheus."""

import pytest

from tests.dashboard.apps.scored import Ask, chat, tell
from tests.support import eventually

pytestmark = pytest.mark.slow


def test_scores_of_a_step_and_of_a_run_are_told_by_each_door(orchestrator, client, api):
    run = orchestrator.start(tell, "What do otters do?", id="told")
    assert run.result(60) == "Otters swim."
    eventually(lambda: run.record.evaluations and run.steps()[0].evaluations, 30)
    (of_run,), (of_step,) = run.record.evaluations, run.steps()[0].evaluations
    assert (of_run.name, of_run.score, of_run.background) == ("short", 0.9, True)
    there = client.get("told")
    assert there.record.evaluations == (of_run,)
    assert there.steps()[0].evaluations == (of_step,)
    shown = api.get("/runs/told").json()
    assert (shown["status"], shown["evaluations"]) == ("completed", [of_run.model_dump(mode="json")])
    assert api.get("/runs/told/steps").json()[0]["evaluations"] == [of_step.model_dump(mode="json")]
    assert api.get("/runs/told/result").json()["result"] == "Otters swim."
    figures = client.metrics().workflows[0]
    assert [(each.evaluator, each.rated, each.mean) for each in figures.background] == [("short", 1, 0.9)]
    assert figures.steps[0].background[0].passed == 1


def test_scores_of_replies_are_told_by_each_door(orchestrator, client, api):
    ada = orchestrator.session(chat, "ada")
    ada.ask(Ask(text="What do otters do?"), timeout=60)

    def rated() -> bool:
        (turn,) = ada.history()
        return bool(turn.evaluations and turn.steps[0].evaluations)

    eventually(rated, 30)
    (turn,) = client.session(chat, "ada").history()
    assert [each.score for each in (*turn.evaluations, *turn.steps[0].evaluations)] == [0.9, 0.9]


def test_prometheus_has_the_scores_apart_from_what_gates_reject(orchestrator, http):
    run = orchestrator.start(tell, "What do otters do?")
    run.result(60)
    eventually(lambda: run.record.evaluations and run.steps()[0].evaluations, 30)
    text = http.get("/metrics").text
    assert (
        'greenroom_background_ratings_total{evaluator="short",step="writer",verdict="passed",workflow="tell"} 1.0'
        in text
    )
    assert 'greenroom_background_score{evaluator="short",step="",workflow="tell"} 0.9' in text
    assert 'greenroom_rejections_total{kind="llm",step="writer",workflow="tell"} 0.0' in text
