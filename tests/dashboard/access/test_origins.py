"""Apps in browsers: origins that are allowed by name, and streams that end."""

import json
from collections.abc import Iterator

import httpx
import pytest

from greenroom import Orchestrator
from greenroom.dashboard.access.origins import read_origin
from greenroom.dashboard.server import Server
from greenroom.messages.core.errors import CannotServe
from tests.dashboard.conftest import APP, start
from tests.support import eventually

PAGE = "https://app.example"
FETCH = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}


@pytest.fixture
def open_server(orchestrator: Orchestrator) -> Iterator[Server]:
    with Server(orchestrator, [str(APP)], port=0, allow_origins=[f"{PAGE}/", "http://localhost:5173"]) as opened:
        yield opened


@pytest.fixture
def page(open_server: Server) -> Iterator[httpx.Client]:
    """Give what a page of the allowed origin sends."""
    with httpx.Client(base_url=open_server.url, headers=FETCH, timeout=50, trust_env=False) as opened:
        yield opened


def token(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token.value}"}


def varies(answer: httpx.Response) -> bool:
    return "Origin" in answer.headers["vary"].split(", ")


def test_a_browser_is_told_before_a_request_what_a_page_may_send(page):
    for path in ("/api/v1/runs", "/api/v1/runs/x/stream", "/healthz", "/openapi.json"):
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        answer = page.options(path, headers=asked)
        assert (answer.status_code, answer.content) == (204, b""), path
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert {"GET", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))
        names = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= set(names)
        assert int(answer.headers["access-control-max-age"]) > 0
        assert varies(answer)
    local = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
    assert page.options("/healthz", headers=local).headers["access-control-allow-private-network"] == "true"


def test_a_page_of_an_allowed_origin_reads_answers_errors_and_streams(page, open_server, orchestrator):
    run = {"workflow": "total", "input": {"a": 1}, "id": "total"}
    started = page.post("/api/v1/runs", json=run, headers=token(open_server))
    orchestrator.get("total").result(30)
    listed = page.get("/api/v1/runs", headers=token(open_server))
    stream = page.get("/api/v1/runs/total/stream", headers=token(open_server))
    refused = page.get("/api/v1/runs")
    for answer, status in ((started, 201), (listed, 200), (stream, 200), (refused, 401), (page.get("/healthz"), 200)):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert varies(answer)
        assert {"Link", "Location"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert refused.json()["code"] == "unauthorized", "an origin is not a token"


def test_other_origins_are_refused_as_before(open_server, http, server):
    asked = {"Access-Control-Request-Method": "GET"}
    for url, origin in (
        (open_server.url, "https://evil.example"),
        (open_server.url, "http://app.example"),
        (open_server.url, f"{PAGE}.evil.example"),
        (open_server.url, f"{PAGE}:444"),
        (open_server.url, "null"),
        (server.url, PAGE),
    ):
        headers = token(open_server) | FETCH | {"Origin": origin}
        for answer in (
            httpx.get(f"{url}/api/v1/runs", headers=headers, trust_env=False),
            httpx.request("OPTIONS", f"{url}/api/v1/runs", headers=headers | asked, trust_env=False),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin"), origin
            assert not any(name.startswith("access-control") for name in answer.headers)
    plain = httpx.get(f"{open_server.url}/api/v1/runs", headers=token(open_server), trust_env=False)
    assert plain.status_code == 200, "who is not a browser needs no origin"
    assert varies(plain), "or a cache would give it to a page"
    assert "vary" not in http.get("/api/v1/runs").headers


def test_an_origin_is_named_and_any_is_none(orchestrator):
    assert read_origin("HTTPS://App.example:443/") == PAGE
    assert read_origin("http://[::1]:5173") == "http://[::1]:5173"
    for wrong in (
        "*",
        "",
        "null",
        "app.example",
        "https://",
        "https://*.example",
        "https://app.example/path",
        "ftp://a",
    ):
        with pytest.raises(CannotServe, match=r"https://app\.example"):
            Server(orchestrator, port=0, allow_origins=[wrong])


def blocks_of(text: str) -> list[dict[str, str]]:
    """Read a stream as a browser does."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block if not line.startswith(":")) for block in blocks]


def test_a_stream_names_its_events_and_ends_with_one(api, orchestrator):
    start(orchestrator, "total", "total", a=1).result(30)
    text = api.get("/runs/total/stream").text
    assert text.startswith("retry: 2000\n")
    *events, end = blocks_of(text)
    assert [event["event"] for event in events] == [json.loads(event["data"])["type"] for event in events]
    assert events[0]["event"] == "run.started"
    assert (end["event"], json.loads(end["data"])) == ("end", {"run_id": "total", "status": "completed"})
    assert "id" not in end, "the last event that was seen stays the one to go on from"
    last = events[-1]["id"]
    assert api.get("/runs/total/stream", headers={"Last-Event-ID": last}).status_code == 204
    (only, again) = blocks_of(api.get("/runs/total/stream", headers={"Last-Event-ID": str(int(last) - 1)}).text)
    assert (only["id"], again["event"]) == (last, "end")


def test_a_silent_stream_says_that_it_is_there(api, orchestrator, monkeypatch):
    monkeypatch.setattr("greenroom.dashboard.routes.results.PING", 0.05)
    run = start(orchestrator, "words", "words")
    eventually(lambda: run.status == "waiting")
    with api.stream("GET", "/runs/words/stream") as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())
