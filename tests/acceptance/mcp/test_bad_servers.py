"""Servers that cannot be started, reached or understood: one sentence that says what to do, before anything is spent."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from greenroom import DefinitionError, Orchestrator, Pool, RunParked, mcp
from greenroom.actors.mcp import definition as definitions
from tests.acceptance.harness import MARK, pools
from tests.support import ROOT, eventually

pytest.importorskip("mcp")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
APPS = Path(__file__).parent.parent / "apps" / "mcp"
PYTHON = sys.executable


def app(folder: Path, **options: Any) -> Path:
    """Write an app with one server and a workflow that calls a tool of it once something was spent."""
    path = folder / "app.py"
    path.write_text(
        textwrap.dedent(f"""
            from greenroom import OutcomeUnknown, mcp, tool, workflow

            server = mcp("files", **{options!r})

            @tool
            def spend() -> int:
                with open({str(folder / "spent")!r}, "a") as file:
                    return file.write("x")

            @workflow
            async def main(name: str = "read_file", order: int = 1) -> object:
                await spend()
                try:
                    return await server.call(name, **({{"path": "a"}} if name == "read_file" else {{"order": order}}))
                except OutcomeUnknown as error:
                    return f"unknown: {{error}}"
        """)
    )
    return path


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"command": ["no-such-command"]},
            "is started by the command 'no-such-command', which is not found on PATH: install it",
        ),
        ({"command": ["./nowhere.py"]}, "is started by './nowhere.py', and there is no such file: correct command="),
        (
            {"command": ["./plain.txt"]},
            "is started by './plain.txt', which is not executable: make it so",
        ),
        ({"command": [PYTHON], "cwd": "/nowhere"}, "is to work in '/nowhere', which is not a folder: correct cwd="),
        ({"command": [PYTHON], "url": "http://a"}, "has both command= and url=: give the command"),
        ({}, "has neither command= nor url="),
        ({"command": "python server.py"}, "write a list of words"),
        ({"url": "localhost:80"}, "write one that begins with http:// or https://"),
        ({"url": "https://otter:fish@a.example/mcp"}, "leave out what stands before the @"),
        ({"command": [PYTHON], "headers": {"a": "b"}}, "has headers=, which only a server with url= is sent"),
    ],
)
def test_a_definition_that_cannot_work_is_refused_before_anything_is_spent(
    options, sentence, tmp_path, home, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").write_text("echo\n")
    path = app(tmp_path, **options)
    done = subprocess.run(
        [PYTHON, "-m", "greenroom", "run", f"{path}:main"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "MCP server `files`" in done.stderr
    assert not (tmp_path / "spent").exists()


def test_without_the_extra_the_sentence_names_the_line_that_installs_it(monkeypatch):
    server = mcp("lonely", url="http://127.0.0.1:1/mcp")
    monkeypatch.setattr(definitions, "find_spec", lambda _name: None)
    with pytest.raises(
        DefinitionError, match=r"MCP server `lonely` needs a package .*: `pip install 'greenroom\[mcp\]'`"
    ):
        server.definition.prepare()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"command": [PYTHON, str(APPS / "raw_mcp_server.py"), "mute"], "start_timeout": 1},
            "did not answer within 1 s of its start, its start_timeout",
        ),
        (
            {"command": [PYTHON, str(APPS / "raw_mcp_server.py"), "garbage"]},
            "what is not a message of the protocol: 'Welcome to my server!'",
        ),
        ({"command": [PYTHON, str(APPS / "raw_mcp_server.py"), "exits"]}, "MCP server `files` ended with exit code 3"),
        ({"command": ["cat"]}, "MCP server `files` does not speak the protocol: MCPError: "),
        (
            {"url": "http://127.0.0.1:9/mcp"},
            "MCP server `files` at http://127.0.0.1:9/mcp cannot be reached: ConnectError: All connection attempts failed; start it, or correct url=",
        ),
        (
            {"url": "http://127.0.0.1:9/", "headers": {"Authorization": "Bearer $NO_SUCH"}},
            "needs the environment variable NO_SUCH",
        ),
    ],
    ids=["mute", "garbage", "exits", "echo", "refused", "header"],
)
def test_a_server_that_does_not_speak_parks_the_run_with_its_sentence(options, sentence, tmp_path, home, mark):
    path = app(tmp_path, **options)
    few = {**pools(), "mcp:files": Pool(env=(MARK,), size=1, max_restarts=1)}
    with Orchestrator(tmp_path / "runs.db", pools=few) as orchestrator, pytest.raises(RunParked) as parked:
        orchestrator.start_app(str(path), "main", {}).result(60)
    assert sentence in str(parked.value)


# ---------------------------------------------------------------- servers that are reached by a URL


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serving(port: int, log: Path) -> subprocess.Popen[bytes]:
    server = subprocess.Popen([PYTHON, str(APPS / "mcp_server.py"), str(log), "http", str(port)])
    eventually(lambda: reachable(port), 30.0, what="the server's port")
    return server


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def remote(port: int, tmp_path: Path, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    server = serving(port, tmp_path / "server.log")
    yield server
    server.kill()
    server.wait()


@pytest.fixture
def orchestrator(tmp_path: Path, home: Path, mark: str) -> Iterator[Orchestrator]:
    with Orchestrator(tmp_path / "runs.db", pools=pools()) as opened:
        yield opened


def test_a_server_is_called_by_its_url(remote, port, orchestrator, tmp_path):
    path = app(tmp_path, url=f"http://127.0.0.1:{port}/mcp")
    assert orchestrator.start_app(str(path), "main", {}).result(60) == {"result": "content of a"}


def test_a_url_that_is_no_mcp_server_is_named(remote, port, tmp_path, home, mark):
    path = app(tmp_path, url=f"http://127.0.0.1:{port}/elsewhere")
    few = {**pools(), "mcp:files": Pool(env=(MARK,), size=1, max_restarts=1)}
    with Orchestrator(tmp_path / "runs.db", pools=few) as orchestrator, pytest.raises(RunParked) as parked:
        orchestrator.start_app(str(path), "main", {}).result(60)
    assert (
        f"MCP server `files` at http://127.0.0.1:{port}/elsewhere answered with HTTP status 404: correct url="
        in str(parked.value)
    )


def test_a_remote_server_that_dies_in_a_call_leaves_the_outcome_unknown(remote, port, orchestrator, tmp_path):
    path = app(tmp_path, url=f"http://127.0.0.1:{port}/mcp")
    result = orchestrator.start_app(str(path), "main", {"name": "dies_after_its_effect"}).result(60)
    assert str(result).startswith("unknown: ")
    assert (tmp_path / "server.log").read_text().count('"dies_after_its_effect"') == 1


def test_a_read_only_call_goes_on_soon_after_a_remote_server_was_started_again(remote, port, orchestrator, tmp_path):
    path = app(tmp_path, url=f"http://127.0.0.1:{port}/mcp")
    run = orchestrator.start_app(str(path), "main", {"name": "dies_first"})
    remote.wait(60)
    ended = time.monotonic()
    eventually(lambda: time.monotonic() >= ended + 6.0 or run.status != "running", what="the time of a restart")
    assert run.status == "running"
    again = serving(port, tmp_path / "server.log")
    try:
        assert run.result(3) == {"result": 1}
    finally:
        again.kill()
        again.wait()


class Forgetful(BaseHTTPRequestHandler):
    """A server of an older protocol, which forgets its first session before the first call."""

    server: "ForgetfulServer"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, session = request["method"], self.headers.get("Mcp-Session-Id")
        self.server.seen.append(method)
        if method == "initialize":
            self.server.sessions += 1
            facts = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
            self.answer(request, {**facts, "serverInfo": {"name": "old", "version": "1"}}, f"s{self.server.sessions}")
        elif method == "server/discover" or (method == "tools/call" and session == "s1"):
            self.send_error(404)
        elif method == "tools/list":
            self.answer(request, {"tools": [{"name": "refund", "inputSchema": {"type": "object"}}]})
        elif method == "tools/call":
            self.answer(request, {"content": [{"type": "text", "text": f"done in {session}"}]})
        else:
            self.send_response(202)
            self.end_headers()

    def answer(self, request: dict[str, Any], result: Any, session: str = "") -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class ForgetfulServer(ThreadingHTTPServer):
    sessions = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Forgetful)
        self.seen: list[str] = []


def test_a_session_that_a_remote_server_has_forgotten_is_begun_again_and_the_call_made_once(orchestrator, tmp_path):
    with ForgetfulServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            path = app(tmp_path, url=f"http://127.0.0.1:{server.server_port}/mcp")
            run = orchestrator.start_app(str(path), "main", {"name": "refund"})
            assert run.result(60) == "done in s2"
        finally:
            server.shutdown()
            thread.join()
    assert server.seen.count("tools/call") == 2
    assert [len(step.attempts) for step in run.steps()] == [1, 1, 1]
