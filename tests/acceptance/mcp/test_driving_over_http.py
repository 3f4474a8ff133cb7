"""A served orchestrator answers MCP clients over HTTP: who may ask, many at once, and some that go away."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

pytest.importorskip("mcp")
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests.acceptance.mcp.test_driving import ROOT, served
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@dataclass
class Served:
    """A served app."""

    home: Path
    url: str
    token: str

    @property
    def endpoint(self) -> str:
        return f"{self.url}/mcp"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Served]:
    home = tmp_path / "home"
    with served(home, "--mcp") as url:
        yield Served(home, url, (home / "token").read_text().strip())


@asynccontextmanager
async def client_of(there: Served) -> AsyncIterator[Client]:
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {there.token}"}) as http,
        Client(streamable_http_client(there.endpoint, http_client=http)) as client,
    ):
        yield client


def post(there: Served, **headers: str) -> httpx.Response:
    accept = {"Accept": "application/json, text/event-stream"}
    return httpx.post(there.endpoint, json=LIST, headers=accept | headers, timeout=30)


REFUSED = [
    ({}, 401),
    ({"Authorization": "Bearer wrong"}, 401),
    ({"Authorization": "Basic {token}"}, 401),
    ({"Authorization": "Bearer {token}", "Host": "evil.example"}, 403),
    ({"Authorization": "Bearer {token}", "Host": "evil.example:80"}, 403),
    ({"Authorization": "Bearer {token}", "Origin": "https://evil.example"}, 403),
    ({"Authorization": "Bearer {token}", "Origin": "null"}, 403),
    ({"Authorization": "Bearer {token}", "Sec-Fetch-Site": "cross-site"}, 403),
    ({"Host": "evil.example"}, 403),
]


def test_only_who_has_the_token_and_names_this_host_is_answered(there):
    """A page of another site that has its name resolved to this machine sends that name as ``Host``."""
    for headers, status in REFUSED:
        answer = post(there, **{name: value.format(token=there.token) for name, value in headers.items()})
        assert answer.status_code == status, (headers, answer.text)
        assert "start_run" not in answer.text
    assert "start_run" in post(there, Authorization=f"Bearer {there.token}").text
    for method in ("GET", "DELETE", "PUT", "OPTIONS"):
        assert httpx.request(method, there.endpoint, timeout=30).status_code in {401, 403}


def test_what_is_no_message_is_refused_and_the_server_goes_on(there):
    headers = {"Authorization": f"Bearer {there.token}", "Accept": "application/json, text/event-stream"}
    for body in (b"", b"{", b"[]", b"null", b'{"jsonrpc": "2.0"}', b"[" * 100_000, b"\xff\xfe"):
        answer = httpx.post(
            there.endpoint, content=body, headers=headers | {"Content-Type": "application/json"}, timeout=30
        )
        assert 400 <= answer.status_code < 500, (body[:20], answer.status_code)
    assert post(there, **headers).status_code == 200


def test_twenty_clients_at_once_each_have_their_own_answers(there, figure):
    async def story(number: int) -> tuple[Any, str]:
        async with client_of(there) as client:
            run = {"workflow": "greet", "arguments": {"name": f"N{number}"}, "run_id": f"greet-{number}", "wait": 60}
            done = await client.call_tool("start_run", run)
            failed = await client.call_tool("start_run", {"workflow": "fails", "run_id": f"fails-{number}", "wait": 60})
            assert failed.is_error
            return done.structured_content, failed.content[0].text

    async def all_of_them() -> list[tuple[Any, str]]:
        return await asyncio.gather(*map(story, range(20)))

    began = time.monotonic()
    answers = asyncio.run(all_of_them())
    took = time.monotonic() - began
    figure("20 clients with two runs each, on an app that was not loaded", took, "s", "5")
    assert took < 30
    for number, (done, failed) in enumerate(answers):
        assert done == {"run_id": f"greet-{number}", "status": "completed", "result": f"hello N{number}"}
        assert f"run fails-{number} failed" in failed
        assert "there is no paper" in failed


def test_a_long_result_arrives_whole_and_one_that_is_too_long_is_an_error(there):
    async def story() -> None:
        async with client_of(there) as client:
            done = await client.call_tool("start_run", {"workflow": "long", "arguments": {"megabytes": 6}, "wait": 60})
            assert done.structured_content is not None
            assert done.structured_content["result"] == "x" * (6 * 2**20)
            listed = await client.call_tool("list_runs", {"workflow": "long"})
            assert len(listed.content[0].text) < 10_000
            failed = await client.call_tool(
                "start_run", {"workflow": "long", "arguments": {"megabytes": 20}, "wait": 60}
            )
            assert failed.is_error
            assert "limit" in failed.content[0].text

    asyncio.run(story())


def test_a_client_that_goes_away_in_a_call_harms_no_other(there):
    """Ten clients hang up while they wait for a run, which goes on and is answered to somebody else."""
    headers = {"Authorization": f"Bearer {there.token}", "Accept": "application/json, text/event-stream"}
    call = {"name": "start_run", "arguments": {"workflow": "waits", "run_id": "left-alone", "wait": 60}}

    async def leave() -> None:
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.post(
                    there.endpoint,
                    json=LIST | {"method": "tools/call", "params": call},
                    headers=headers,
                    timeout=httpx.Timeout(30, read=1.0),
                )

    async def story() -> None:
        await asyncio.gather(*(leave() for _ in range(10)))
        async with client_of(there) as client:
            shown = await client.call_tool("show_run", {"run_id": "left-alone"})
            assert shown.structured_content is not None
            assert shown.structured_content["status"] == "waiting"
            await client.call_tool("cancel_run", {"run_id": "left-alone", "reason": "enough"})
            ended = await client.call_tool("run_result", {"run_id": "left-alone", "wait": 30})
            assert ended.is_error
            assert "was cancelled: enough" in ended.content[0].text

    asyncio.run(story())


# ---------------------------------------------------------------- over standard input and output


@pytest.mark.parametrize("how", ["closes its end", "is killed"])
def test_greenroom_mcp_ends_with_its_client_also_in_a_call(how, there, tmp_path):
    """The client is a process that waits for a run which does not end, with the server below it."""
    run_id = how.replace(" ", "-")
    program = [sys.executable, "-m", "tests.acceptance.apps.mcp.mcp_client", str(there.home), run_id]
    with subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == "ready\n"
        (server,) = [each for each in psutil.Process(client.pid).children() if "mcp" in each.cmdline()]
        said = Path(f"/proc/{server.pid}/fd/2").resolve()
        assert said == there.home / "stderr"
        eventually(lambda: is_started(there, run_id), 30.0, what="the call")
        if how == "is killed":
            client.kill()
        else:
            client.stdin.close()
    server.wait(10)
    assert (there.home / "stderr").read_text() == ""
    assert post(there, Authorization=f"Bearer {there.token}").status_code == 200


def is_started(there: Served, run_id: str) -> bool:
    answer = httpx.get(
        f"{there.url}/api/v1/runs/{run_id}", headers={"Authorization": f"Bearer {there.token}"}, timeout=30
    )
    return answer.status_code == 200


def test_lines_that_are_no_messages_do_not_end_the_server(there):
    command = [sys.executable, "-m", "greenroom", "mcp", "--home", str(there.home)]
    lines = ["not JSON", "[]", '{"jsonrpc": "2.0"}', json.dumps(INITIALIZE)]
    done = subprocess.run(
        command,
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["result"]["serverInfo"]["name"] for each in answers if "result" in each] == ["greenroom"]


INITIALIZE = LIST | {
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
