"""Who and what is let in."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from greenroom.dashboard.access.gate import MAX_BODY_BYTES, host_of, is_address
from greenroom.dashboard.server import Server
from greenroom.messages.core.errors import CannotServe

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
PATHS = ("/metrics", "/openapi.json", "/api/v1/runs", "/api/v1/messages", "/api/v1/runs/x/stream", "/nothing", "/pages")


@pytest.fixture
def stranger(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=50, trust_env=False) as opened:
        yield opened


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    if answer.request.method != "HEAD":
        found = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (found["status"], found["code"]) == (status, code), found
        assert found["fix"]
        assert found["detail"]
    return answer.status_code == status


def test_nothing_is_said_without_the_token_but_that_the_server_lives(server, stranger):
    for method in METHODS:
        for path in PATHS:
            assert is_problem(stranger.request(method, path), 401, "unauthorized"), (method, path)
    wrong = ("", "Bearer", "Bearer x", f"Basic {server.token.value}", f"Bearer {server.token.value}x", "Bearer \xff")
    for header in wrong:
        answer = stranger.get("/api/v1/runs", headers={"Authorization": header.encode("latin-1")})
        assert is_problem(answer, 401, "unauthorized"), header
        assert answer.headers["www-authenticate"] == "Bearer"
    assert stranger.get("/healthz").json() == {"status": "ok"}
    assert stranger.get("/api/v1/runs", params={"token": server.token.value}).status_code == 401


def test_a_foreign_host_is_refused_whatever_else_is_right(http, server):
    for host in (
        "evil.example",
        f"evil.example:{server.port}",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "127.0.0.1.",
        "[::2]",
    ):
        for path in ("/healthz", "/api/v1/runs"):
            assert is_problem(http.get(path, headers={"Host": host}), 403, "forbidden_host"), host
    for host in ("localhost", f"127.0.0.1:{server.port}", "LOCALHOST:1", "[::1]:8080"):
        assert http.get("/api/v1/runs", headers={"Host": host}).status_code == 200, host


def test_two_hosts_are_refused(server):
    request = (
        f"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
        f"Authorization: Bearer {server.token.value}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request.encode())
        assert connection.makefile("rb").readline().split()[1] in {b"400", b"403"}


def test_what_a_page_of_another_origin_sends_is_refused(http, server):
    foreign = (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{server.port + 1}"},
        {"Origin": f"http://127.0.0.1:{server.port}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    )
    for headers in foreign:
        for method in ("GET", "POST", "OPTIONS"):
            answer = http.request(method, "/api/v1/runs", headers=headers)
            assert is_problem(answer, 403, "forbidden_origin"), headers
            assert not any(name.startswith("access-control") for name in answer.headers)
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert http.get("/api/v1/runs", headers=own).status_code == 200
    assert http.get("/api/v1/runs", headers={"Sec-Fetch-Site": "none"}).status_code == 200


def test_a_body_over_the_limit_is_refused_announced_or_not(api):
    large = json.dumps({"name": "Word", "value": "x" * MAX_BODY_BYTES}).encode()
    for path in ("/runs", "/messages", "/runs/x/signal", "/runs/x/pause", "/nothing"):
        assert is_problem(api.post(path, content=large), 413, "too_large")
        chunks = (large[start : start + 65536] for start in range(0, len(large), 65536))
        assert is_problem(api.post(path, content=chunks), 413, "too_large")
    assert api.get("/runs").status_code == 200
    fits = json.dumps({"name": "Word", "value": "x" * (MAX_BODY_BYTES - 100)}).encode()
    assert is_problem(
        api.post("/runs/x/signal", content=fits, headers={"Content-Type": "application/json"}), 422, "invalid"
    )


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"{",
            b"\xff",
            b'{"name": NaN}',
            b'{"value": 1e999}',
            b'{"value": "\\ud800"}',
            b"[" * 5000,
            b"1" * 5000,
            b"\0",
        ),
        b'{"value": ' + b"[" * 190 + b"]" * 190 + b"}",
    ],
    ids=range(9),
)
def test_what_the_journal_could_not_keep_never_gets_in(api, body):
    for path in ("/runs", "/messages", "/runs/x/signal"):
        answer = api.post(path, content=body, headers={"Content-Type": "application/json"})
        assert is_problem(answer, 422, "invalid_request"), answer.text
        assert answer.json()["detail"].startswith("the body is not JSON")


def test_no_answer_is_kept_by_anybody_or_taken_for_something_else(http):
    for path in ("/healthz", "/api/v1/runs", "/nothing", "/openapi.json"):
        answer = http.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


def test_hosts_are_read_without_their_ports():
    assert [host_of(header) for header in ("a", "A:1", "[::1]:2", "[::1]", "1.2.3.4:5")] == [
        "a",
        "a",
        "::1",
        "::1",
        "1.2.3.4",
    ]
    assert is_address("1.2.3.4")
    assert is_address("::1")
    assert not is_address("a")


def test_a_small_answer_is_sent_at_once(http):
    def seconds() -> float:
        begin = time.perf_counter()
        http.get("/healthz")
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(20)) < 0.03, "a delayed acknowledgement takes 0.04 s"


def test_it_is_reached_at_an_address_of_the_other_family(orchestrator):
    try:
        server = Server(orchestrator, host="::1", port=0)
    except CannotServe:
        pytest.skip("this machine has no IPv6")
    with server:
        assert server.url == f"http://[::1]:{server.port}"
        headers = {"Authorization": f"Bearer {server.token.value}"}
        assert httpx.get(f"{server.url}/api/v1/runs", headers=headers, trust_env=False).status_code == 200
