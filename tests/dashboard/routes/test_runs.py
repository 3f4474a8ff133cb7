"""Runs over HTTP: started once, looked at, waited for, and followed from wherever one left off."""

import json
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from greenroom.dashboard.dependencies import is_called
from greenroom.dashboard.routes.runs import id_of_key
from tests.dashboard.conftest import APP, start
from tests.support import eventually

pytestmark = pytest.mark.slow


def events_of(answer: httpx.Response) -> list[dict]:
    """Read a stream of events to its end, without any help of ours; the last one says that it is the end."""
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append(json.loads(fields["data"]) | {"name": fields["event"], "id": int(fields.get("id", 0))})
    assert found.pop()["name"] == "end"
    return found


def test_a_run_is_started_by_name_waited_for_and_looked_at(api):
    started = api.post("/runs", json={"workflow": "total", "input": {"a": 3}})
    assert started.status_code == 201
    place = started.headers["location"].removeprefix("/api/v1")
    answer = api.get(f"{place}/result", params={"wait": 30})
    assert (answer.status_code, answer.json()["result"], answer.json()["status"]) == (200, 4, "completed")
    run = api.get(place).json()
    assert (run["workflow"], run["status"], run["app"]) == ("total", "completed", str(APP))
    (step,) = api.get(f"{place}/steps").json()
    assert [attempt["outcome"] for attempt in step["attempts"]] == ["ok"]
    events = api.get(f"{place}/events").json()
    assert [event["seq"] for event in events] == list(range(1, run["events"] + 1))
    assert api.get(f"{place}/events", params={"after": 2, "limit": 2}).json() == events[2:4]
    assert [one["id"] for one in api.get("/runs", params={"status": "completed"}).json()] == [run["id"]]
    assert api.get("/runs", params={"status": ["failed", "parked"]}).json() == []
    assert api.get("/runs", params={"name": "other"}).json() == []


def test_a_workflow_is_named_alone_or_with_its_file(api):
    for named in ("total", "offered.py:total", "apps/offered.py:total", f"{APP}:total"):
        assert api.post("/runs", json={"workflow": named, "input": {"a": 1}}).status_code == 201, named
    names = [found["name"] for found in api.get("/workflows").json()]
    assert names == ["total", "sums", "words", "broken", "standing", "stuck", "release", "ship", "pay"]
    for named in ("nothing", "other.py:total", "fered.py:total", "/tmp/offered.py:total", "", ":"):
        answer = api.post("/runs", json={"workflow": named, "input": {"a": 1}})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), named


def test_an_app_is_called_by_its_path_or_the_end_of_it():
    assert is_called("/srv/apps/a.py", "./a.py")
    assert is_called("/srv/apps/a.py", "/srv/other/../apps/a.py")
    assert is_called("shop.flows", "shop.flows")
    assert is_called("/srv/shop/flows.py", "shop.flows")
    assert is_called("/srv/shop/flows.py", "flows")
    assert is_called("shop.flows", "/srv/shop/flows.py")
    for other in ("pps/a.py", "b.py", "pps.a", "", ".py", "/srv/a.py"):
        assert not is_called("/srv/apps/a.py", other)


def test_the_same_key_gives_the_same_run_and_with_another_body_a_conflict(api):
    def post(**body: object) -> httpx.Response:
        return api.post("/runs", json=body, headers={"Idempotency-Key": "order 7/ü".encode()})

    first = post(workflow="total", input={"a": 3})
    again = post(workflow="total", input={"a": 3, "b": 1})  # what the default fills in is the same
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    for other in ({"workflow": "total", "input": {"a": 4}}, {"workflow": "broken"}):
        answer = post(**other)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert post(workflow="total", input={"a": 3}, id="mine").json()["code"] == "conflict"
    assert len(api.get("/runs").json()) == 1
    assert id_of_key("a") != id_of_key("b")


def test_input_that_does_not_fit_is_refused_by_field(api):
    answer = api.post("/runs", json={"workflow": "total", "input": {"a": "many", "c": 1}})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "a:" in answer.json()["detail"]
    assert "c:" in answer.json()["detail"]
    answer = api.post("/runs", json={"workflow": 3, "more": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert {fault["field"] for fault in answer.json()["errors"]} == {"body.workflow", "body.more"}
    assert api.post("/runs", json={"workflow": "total", "input": {"a": 1}, "id": "a/b"}).json()["code"] == "invalid"


def test_a_request_with_thousands_of_faults_has_a_short_answer(api):
    answer = api.post("/runs", json={"workflow": "total", **{f"other{each}": 1 for each in range(5000)}})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_request")
    assert problem["errors"][-1] == {"field": "", "sentence": "and 4980 more"}
    assert len(answer.content) < 10_000


def test_a_result_that_is_not_there_yet_is_waited_for(api, orchestrator):
    run = start(orchestrator, "words", "words")
    assert api.get("/runs/words/result").status_code == 202
    assert api.get("/runs/words/result", params={"wait": 0.05}).json()["status"] in {"pending", "running", "waiting"}
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(api.get("/runs/words/result", params={"wait": 40})))
    waiting.start()
    eventually(lambda: run.status == "waiting")
    assert api.post("/runs/words/signal", json={"name": "Word", "value": {"text": "so"}}).status_code == 200
    waiting.join(30)
    assert answers[0].json()["result"] == ["so"]
    assert api.get("/runs/words/state").json() == {"state": {"words": ["so"]}}


def test_a_message_to_a_run_that_is_sent_again_with_its_key_counts_once(api, orchestrator):
    """As a webhook does whose first answer was lost."""

    def post(header: str, **more: object) -> httpx.Response:
        body = {"name": "Word", "value": {"text": "so"}} | more
        return api.post("/runs/words/signal", json=body, headers={"Idempotency-Key": header} if header else {})

    run = start(orchestrator, "words", "words", count=3)
    first, again = post("delivery 7").json(), post("delivery 7").json()
    assert (first["number"], first["created"]) == (1, True)
    assert (again["number"], again["created"]) == (1, False)
    assert post("", key="delivery 7").json()["number"] == 1, "the field of the body is the same key"
    assert post("delivery 8").json()["number"] == 2
    both = post("delivery 10", key="another")
    assert (both.status_code, both.json()["code"]) == (409, "conflict")
    assert post("delivery 9", key="delivery 9").json()["number"] == 3
    assert run.result(30) == ["so", "so", "so"]


def test_a_fork_that_is_asked_for_again_with_its_key_is_one_run(api, orchestrator):
    def fork(key: str, **more: object) -> httpx.Response:
        return api.post("/runs/sum/fork", json={**more}, headers={"Idempotency-Key": key} if key else {})

    start(orchestrator, "total", "sum", a=1, b=2).result(30)
    first, again = fork("delivery 7").json(), fork("delivery 7").json()
    assert (first["created"], again["created"], again["run_id"]) == (True, False, first["run_id"])
    assert fork("delivery 8").json()["run_id"] != first["run_id"] != fork("").json()["run_id"]
    assert fork("delivery 7", input={"a": 3, "b": 4}).json()["code"] == "conflict"
    assert fork("delivery 7", id="other").json()["code"] == "conflict"


def test_what_stands_in_the_place_of_a_result_is_a_problem_with_its_evidence(api, orchestrator):
    start(orchestrator, "broken", "broken", why="the moon")
    failed = api.get("/runs/broken/result", params={"wait": 30})
    assert (failed.status_code, failed.json()["code"], failed.json()["step"]) == (409, "run_failed", "explode#1")
    assert [attempt["outcome"] for attempt in failed.json()["attempts"]] == ["error"]
    start(orchestrator, "words", "words")
    assert api.post("/runs/words/cancel", json={"reason": "no more"}).status_code == 200
    cancelled = api.get("/runs/words/result", params={"wait": 30}).json()
    assert (cancelled["code"], cancelled["detail"]) == ("run_cancelled", "run words was cancelled: no more")
    late = api.post("/runs/words/signal", json={"name": "Word", "value": {"text": "so"}})
    assert (late.status_code, late.json()["code"]) == (409, "ended")
    for path in ("", "/steps", "/events", "/state", "/result", "/stream"):
        assert api.get(f"/runs/nobody{path}").json()["code"] == "not_found"
        assert api.get(f"/runs/no%2Fbody%25{path}").json()["detail"].startswith("there is no session 'no/body%'")


def test_a_stream_sends_the_past_goes_on_with_the_present_and_ends_with_the_run(api, orchestrator):
    run = start(orchestrator, "words", "words")
    with api.stream("GET", "/runs/words/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert any("receive.asked" in line for line in lines)  # the present is reached, and the stream stays open
        orchestrator.get("words")
        api.post("/runs/words/signal", json={"name": "Word", "value": {"text": "so"}})
        rest = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert rest.pop() == {"run_id": "words", "status": "completed"}
    assert rest[-1]["type"] == "run.completed"
    assert [event["seq"] for event in rest] == list(range(rest[0]["seq"], run.record.events + 1))


def test_a_stream_is_taken_up_after_the_last_event_that_was_seen(api, orchestrator):
    run = start(orchestrator, "total", "total", a=1)
    run.result(30)
    every = events_of(api.get("/runs/total/stream"))
    assert [event["id"] for event in every] == [event["seq"] for event in every] == list(range(1, len(every) + 1))
    for seen in range(len(every)):
        assert events_of(api.get("/runs/total/stream", headers={"Last-Event-ID": str(seen)})) == every[seen:]
    over = api.get("/runs/total/stream", headers={"Last-Event-ID": str(len(every))})
    assert (over.status_code, over.content) == (204, b"")
    assert api.get("/runs/total/stream", headers={"Last-Event-ID": "x"}).status_code == 422


def test_workers_are_shown_and_killed(api, orchestrator, tmp_path: Path):
    run = start(orchestrator, "standing", "standing", path=str(tmp_path / "pid"))
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    actors = api.get("/actors").json()
    assert actors["tree"]["kind"] == "supervisor"
    (worker,) = [one for one in actors["workers"] if one["run_id"] == "standing" and one["kind"] == "tool"]
    assert api.post(f"/actors/{worker['id']}/kill", json={"signal": 11}).json()["type"] == "accepted"
    eventually(lambda: len(run.steps()[0].attempts) == 2, what="a second attempt")
    assert run.steps()[0].attempts[0].outcome == "crash"
    assert api.post("/actors/nobody/kill").json()["code"] == "not_found"
    assert api.post(f"/actors/{worker['id']}/kill", json={"signal": 65}).json()["code"] == "invalid_request"


def test_prometheus_reads_the_figures(http, api, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (
            sample.name,
            sample.labels.get("workflow"),
            sample.labels.get("outcome") or sample.labels.get("status"),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["greenroom_runs", "total", "completed"] == 1
    assert samples["greenroom_attempts_total", "total", "ok"] == 1
    assert samples["greenroom_workers", None, "idle"] >= 1
    assert api.get("/metrics").json()["totals"]["runs"] == 1


def test_a_stopped_orchestrator_says_so(http, api, orchestrator):
    orchestrator.close()
    assert http.get("/healthz").status_code == 503
    answer = api.post("/runs", json={"workflow": "total", "input": {"a": 1}})
    assert (answer.status_code, answer.json()["code"]) == (503, "closed")


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v1/nothing", "/docs/", "/redoc", "/api/v1/runs/", "/pages", "/index.html"]
)
def test_what_is_not_there_is_a_problem_too(http, path):
    answer = http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_method_that_a_path_does_not_take_is_refused(api):
    for path, methods in (("/runs/x", "GET"), ("/runs", "GET, POST"), ("/runs/a%2Fb/pause", "POST")):
        answer = api.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == methods
