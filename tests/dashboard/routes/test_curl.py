"""A person with curl: whatever is wrong is said in a sentence, with what to do about it."""

import re
import socket

import httpx
import pytest

from greenroom.messages.commands import PauseRun
from tests.dashboard.apps import offered
from tests.dashboard.conftest import start
from tests.support import eventually

pytestmark = pytest.mark.slow

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")


def said(answer: httpx.Response, status: int) -> str:
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert found["fix"]
    return found["detail"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/runs?limt=3", "query.limt: is not a parameter of this path; did you mean 'limit'?"),
        ("/runs?Status=failed", "query.Status: is not a parameter of this path; did you mean 'status'?"),
        ("/runs/total?wait=3", "query.wait: is not a parameter of this path; it has none"),
        ("/approvals?x=1&y=2", "query.x: is not a parameter of this path"),
        ("/sessions/chat/ada/history?after=3", "query.after: is not a parameter of this path"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(api, path, sentence):
    assert sentence in said(api.get(path), 422)


def test_a_parameter_of_another_request_is_refused_for_commands_too(api, http):
    assert "query.reason" in said(api.post("/runs/total/cancel?reason=x"), 422)
    assert "query.x" in said(api.post("/messages?x=1", json={"type": "workers.list"}), 422)
    assert "query.x" in said(http.get("/metrics?x=1"), 422)
    assert http.get("/healthz?t=1").status_code == 200, "balancers of load add what they like"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/api/v1/runs/", "/api/v1/runs"),
        ("/runs", "/api/v1/runs"),
        ("/runs/x/steps", "/api/v1/runs/x/steps"),
        ("/api/v1/aprovals", "/api/v1/approvals"),
        ("/sesions", "/api/v1/sessions"),
    ],
)
def test_a_wrong_path_gets_a_guess(http, path, meant):
    assert said(http.get(path), 404) == f"there is nothing at this path; did you mean {meant}?"


def test_a_wrong_method_says_which_are_right(api):
    assert said(api.delete("/runs"), 405) == "this path does not take DELETE, only GET, POST"
    assert said(api.get("/runs/x/cancel"), 405) == "this path does not take GET, only POST"


def test_what_curl_sends_without_a_content_type_is_taken_for_json(api):
    body = b'{"workflow": "total", "input": {"a": 1}}'
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        assert api.post("/runs", content=body, headers={"Content-Type": kind}).status_code == 201, kind
    assert "body: is missing" in said(api.post("/runs"), 422)
    assert "is not JSON" in said(api.post("/runs", content=b"workflow=total"), 422)
    assert "body: is not a JSON object" in said(api.post("/runs", content=b"[1]"), 422)
    answer = api.post("/runs", json={"workflw": "total"})
    assert {fault["field"]: fault["sentence"] for fault in answer.json()["errors"]} == {
        "body.workflow": "is missing",
        "body.workflw": "is not a field of this request",
    }
    wrong = api.post("/messages", json={"type": "run.cancel", "run": "x"})
    assert {fault["field"] for fault in wrong.json()["errors"]} == {"run.cancel.run_id", "run.cancel.run"}


def test_head_gives_the_headers_of_get_and_no_body(api, http, server, orchestrator):
    start(orchestrator, "words", "words")
    for path in ("/runs", "/runs/words", "/runs/words/stream", "/runs/words/result", "/runs/nobody", "/nothing"):
        answer, whole = api.head(path), None if path.endswith("stream") else api.get(path)
        assert answer.content == b""
        assert whole is None or (answer.status_code, answer.headers["content-type"]) == (
            whole.status_code,
            whole.headers["content-type"],
        )
    assert api.head("/runs/words/stream").headers["content-type"].startswith("text/event-stream")
    assert http.head("/healthz").status_code == 200
    eventually(lambda: not server.desk._waits, what="nobody waits for a stream")
    assert server.desk.outbox.held == 0
    head = f"HEAD /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token.value}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for _ in range(2):  # on one connection: nothing of a body came after the first
            connection.sendall(head.encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")


def test_a_wait_has_bounds_that_are_said(api, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    for wait in ("301", "-1", "nan", "inf", "soon"):
        assert "query.wait" in said(api.get("/runs/total/result", params={"wait": wait}), 422)
    assert api.get("/runs/total/result", params={"wait": 300}).status_code == 200


def test_times_are_utc_by_iso_8601(api, orchestrator):
    run = start(orchestrator, "total", "total", a=1)
    run.result(30)
    (step,) = api.get("/runs/total/steps").json()
    shown = api.get("/runs/total").json()
    orchestrator.session(offered.chat, "ada").ask(offered.Word(text="so"), timeout=30)
    chat = api.get("/sessions/chat/ada").json()
    times = [shown[each] for each in ("started_at", "updated_at", "ended_at")]
    times += [step["scheduled_at"], step["ended_at"], step["attempts"][0]["started_at"], chat["opened_at"]]
    times += [event["time"] for event in api.get("/runs/total/events").json()]
    assert all(ISO.fullmatch(time) for time in times), times


def test_a_session_is_shown_with_what_it_knows_and_has_to_do(api, client, orchestrator):
    chat = orchestrator.session(offered.chat, "ada")
    chat.tell(offered.Word(text="one"))
    eventually(lambda: api.get("/sessions/chat/ada").json()["state"] == {"words": ["one"]})
    shown = eventually(lambda: (found := api.get("/sessions/chat/ada").json())["last_turn"] and found)
    assert (shown["waiting"], shown["closed"], shown["status"]) == (0, False, "waiting")
    turn = shown["last_turn"]
    assert (turn["number"], turn["status"], turn["message"], turn["reply"]) == (1, "answered", {"text": "one"}, ["one"])
    for number in range(40):
        chat.ask(offered.Word(text=str(number)), timeout=30)
    assert api.get("/sessions/chat/ada").json()["last_turn"]["message"] == {"text": "39"}
    chat.tell(offered.Word(text="bad"))
    failed = eventually(lambda: (last := api.get("/sessions/chat/ada").json()["last_turn"])["number"] == 42 and last)
    assert (failed["status"], "no such word" in failed["error"]) == ("failed", True)
    client.send(PauseRun(run_id="chat/ada"))
    for text in ("a", "b", "c"):
        chat.tell(offered.Word(text=text))
    waiting = api.get("/sessions/chat/ada").json()
    assert (waiting["waiting"], waiting["status"]) == (3, "paused")
    chat.close()
    assert api.get("/sessions/chat/ada").json()["closed"] is True
    assert client.session(offered.chat, "ada").record == chat.record
    assert [each["key"] for each in api.get("/sessions", params={"status": ["paused", "failed"]}).json()] == ["ada"]
    assert api.get("/sessions", params={"status": "waiting", "name": "chat"}).json() == []
    assert said(api.get("/sessions/chat/eve"), 404).startswith("there is no session 'chat/eve'")
