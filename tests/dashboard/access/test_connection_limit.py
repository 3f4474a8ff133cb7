"""Connections that cost the caller nothing: idle ones, slow ones, and more than there are descriptors."""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from greenroom import Orchestrator
from greenroom.dashboard.access.gate import MAX_BODY_BYTES
from greenroom.dashboard.server import Server
from tests.support import ROOT

pytestmark = pytest.mark.slow

APP = Path(__file__).parent.parent / "apps" / "sleeping.py"


@pytest.fixture
def impatient(orchestrator: Orchestrator) -> Iterator[Server]:
    with Server(orchestrator, port=0, request_timeout=0.5) as opened:
        yield opened


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=40)


def received(connection: socket.socket) -> bytes:
    """Read until the server closes the connection; fails after the socket's time-out."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 9\r\n\r\n{",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    ],
    ids=["nothing", "a word", "headers", "a body", "a chunk"],
)
def test_a_connection_that_sends_no_whole_request_in_time_is_closed(impatient, sent):
    with connect(impatient) as connection:
        connection.sendall(sent.replace(b"TOKEN", impatient.token.value.encode()))
        begin = time.monotonic()
        received(connection)
        assert time.monotonic() - begin < 20


def test_a_connection_that_drips_is_closed_in_the_same_time(impatient):
    with connect(impatient) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        for number in range(400):
            try:
                connection.sendall(f"X-{number}: 1\r\n".encode())
            except OSError:
                return
            if select.select([connection], [], [], 0.1)[0]:
                received(connection)
                return
        pytest.fail("it was kept open")


def test_a_second_request_on_a_connection_has_the_same_limit(impatient):
    with connect(impatient) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        received(connection)


def test_an_answer_may_take_longer_than_a_request(orchestrator):
    with Server(orchestrator, [str(APP)], port=0, request_timeout=0.5) as server:
        headers = {"Authorization": f"Bearer {server.token.value}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=50, trust_env=False) as http:
            run = {"workflow": f"{APP}:nap", "input": {"seconds": 1.5}, "id": "slow"}
            assert http.post("/api/v1/runs", json=run).status_code < 300
            assert http.get("/api/v1/runs/slow/result", params={"wait": 40}).json()["result"] == 7


def test_a_body_on_an_open_path_is_not_taken(server):
    head = "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"
    for length in (1, MAX_BODY_BYTES, MAX_BODY_BYTES * 1000):
        with connect(server) as connection:
            connection.sendall(head.format(length).encode())
            answer = received(connection)  # although the body never comes
            assert b" 405 " in answer
            assert b"connection: close" in answer.lower()


def test_a_body_without_a_token_is_not_taken(server):
    with connect(server) as connection:
        connection.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        answer = received(connection)
        assert b" 401 " in answer
        assert b"connection: close" in answer.lower()


def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(server):
    for token in (server.token.value, "wrong"):
        with connect(server) as connection:
            connection.sendall(
                f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n".encode()
            )
            answer = received(connection)
            assert b" 400 " in answer
            assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.slow
@pytest.mark.parametrize("descriptors", [256, 1024])
def test_more_idle_connections_than_descriptors_stop_nobody(home, tmp_path, descriptors):
    """An ordinary limit, and one far below the number of connections; HTTP and the local socket are both flooded."""
    said = tmp_path / "stderr"
    serve = [sys.executable, "main.py", "serve", str(APP), "--port", "0"]
    limited = ["/bin/sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *serve]
    environment = os.environ | {"GREENROOM_HOME": str(home), "PYTHONPATH": str(ROOT)}
    with ExitStack() as open_, said.open("wb") as stderr:
        process = open_.enter_context(
            subprocess.Popen(limited, cwd=ROOT, env=environment, stderr=stderr, stdout=subprocess.DEVNULL)
        )
        open_.callback(process.terminate)
        record = read_record(home, process)
        host, port = record["url"].removeprefix("http://").split(":")
        headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
        http = open_.enter_context(httpx.Client(base_url=record["url"], headers=headers, timeout=50, trust_env=False))
        run = {"workflow": f"{APP}:nap", "input": {"seconds": 8}, "id": "asleep"}
        assert http.post("/api/v1/runs", json=run).status_code < 300

        begin = time.monotonic()
        for _ in range(1100):
            stranger = open_.enter_context(socket.socket())
            stranger.settimeout(10)
            stranger.connect((host, int(port)))
        for _ in range(400):
            local = open_.enter_context(socket.socket(socket.AF_UNIX))
            local.connect(str(home / "control.sock"))
        assert httpx.get(f"{record['url']}/healthz", timeout=20, trust_env=False).status_code == 200
        shown = subprocess.run(
            [sys.executable, "main.py", "actors", "list", "-o", "json"],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            timeout=50,
        )
        assert json.loads(shown.stdout)
        assert time.monotonic() - begin < 40

        answer = http.get("/api/v1/runs/asleep/result", params={"wait": 45}).json()
        assert answer["result"] == 7, answer
        attempts = [attempt for step in http.get("/api/v1/runs/asleep/steps").json() for attempt in step["attempts"]]
        assert [attempt["outcome"] for attempt in attempts] == ["ok", "ok"]
        process.terminate()
        process.wait(30)
    assert said.stat().st_size < 5000, said.read_text()


def read_record(home: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Wait until the server can be reached, and return what the home says of it."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        try:
            record = json.loads((home / "orchestrator.json").read_text())
        except (OSError, ValueError):
            record = {}
        if "url" in record:
            return record
        select.select([], [], [], 0.05)
    pytest.fail("the server did not begin")
