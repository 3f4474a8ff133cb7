"""A served orchestrator is driven by an MCP client that knows nothing but the command ``greenroom mcp``."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

pytest.importorskip("mcp")
from mcp import Client, StdioServerParameters

from greenroom import DefinitionError, Fatal, mcp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
APP = ROOT / "tests" / "acceptance" / "apps" / "mcp" / "driven.py"


@contextmanager
def served(home: Path, *options: str) -> Iterator[str]:
    """Serve the app; give the URL."""
    command = [sys.executable, "-m", "greenroom", "serve", str(APP), "--port", "0", "--home", str(home), *options]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        first = server.stdout.readline()
        assert first.startswith("serving on ")
        yield first.split()[-1]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Path]:
    """Serve the app; give the home."""
    with served(tmp_path / "home"):
        yield tmp_path / "home"


Call = Callable[..., Coroutine[Any, Any, Any]]


def driven(home: Path, story: Callable[[Client, Call], Coroutine[Any, Any, Any]], *options: str) -> Any:
    """Tell a story with a client and a function that calls a tool; an error is given as its text."""
    arguments = ["-m", "greenroom", "mcp", "--home", str(home), *options]
    server = StdioServerParameters(command=sys.executable, args=arguments, env={"PYTHONPATH": str(ROOT)})

    async def tell() -> Any:
        async with Client(server) as client:

            async def call(tool: str, /, **given: Any) -> Any:
                result = await client.call_tool(tool, given)
                text = "\n".join(getattr(item, "text", "") for item in result.content)
                if result.is_error:
                    return f"error: {text}"
                found = result.structured_content
                return text if found is None else found.get("result", found) if len(found) == 1 else found

            return await story(client, call)

    return asyncio.run(tell())


def test_a_run_is_started_watched_and_read(serving):
    async def story(_client: Client, call: Call) -> None:
        names = {each["name"]: each for each in await call("list_workflows")}
        assert {"greet", "release", "waits", "fails"} <= names.keys()
        assert names["greet"]["input_schema"]["required"] == ["name"]
        done = await call("start_run", workflow="greet", arguments={"name": "Ada"}, run_id="greet-ada", wait=30)
        assert done == {"run_id": "greet-ada", "status": "completed", "result": "hello Ada"}
        assert await call("start_run", workflow="greet", arguments={"name": "Ada"}, run_id="greet-ada") == done
        (step,) = await call("list_steps", run_id="greet-ada")
        assert (step["key"], step["status"]) == ("greeting#1", "completed")
        assert "greet-ada" in [run["id"] for run in await call("list_runs", workflow="greet", status="completed")]
        assert (await call("show_run", run_id="greet-ada"))["status"] == "completed"

    driven(serving, story)


def test_what_a_run_asks_is_listed_and_decided(serving):
    async def story(_client: Client, call: Call) -> None:
        assert (await call("start_run", workflow="release", arguments={"version": "1.0"}, run_id="release-1"))[
            "status"
        ] in {"pending", "running", "waiting"}
        while not (asked := await call("list_approvals", run_id="release-1")):
            pass
        assert asked[0]["action"] == "release"
        await call("decide_approval", approval=asked[0]["id"], decision="edit", args={"version": "1.1"})
        done = await call("run_result", run_id="release-1", wait=30)
        assert done["result"] == "edit 1.1 by a client of the MCP server"

    driven(serving, story)


def test_a_session_is_asked_and_remembers(serving):
    async def story(_client: Client, call: Call) -> None:
        assert [handler["name"] for handler in await call("list_handlers")] == ["chat"]
        assert await call("ask_session", handler="chat", key="ada", message={"text": "hello"}) == "1: hello"
        assert await call("ask_session", handler="chat", key="ada", message={"text": "again"}) == "2: again"
        assert [each["key"] for each in await call("list_sessions", handler="chat")] == ["ada"]

    driven(serving, story)


def test_a_run_is_cancelled(serving):
    async def story(_client: Client, call: Call) -> None:
        assert (await call("start_run", workflow="waits", run_id="waits-1", wait=0.2))["status"] == "waiting"
        await call("cancel_run", run_id="waits-1", reason="not needed")
        assert "not needed" in await call("run_result", run_id="waits-1", wait=30)
        assert (await call("show_run", run_id="waits-1"))["status"] == "cancelled"

    driven(serving, story)


def test_what_goes_wrong_is_an_error_with_its_sentence(serving):
    async def story(_client: Client, call: Call) -> None:
        failed = await call("start_run", workflow="fails", wait=30)
        assert failed.startswith("error: ")
        assert "there is no paper" in failed
        assert "there is no workflow 'greeet'" in await call("start_run", workflow="greeet")
        assert "name" in await call("start_run", workflow="greet", arguments={"nam": "Ada"})
        assert "there is no run 'nobody'" in await call("show_run", run_id="nobody")

    driven(serving, story)


def test_an_argument_that_a_tool_does_not_have_is_refused_and_nothing_is_started(serving):
    async def story(client: Client, call: Call) -> None:
        assert await call("start_run", workflow="greet", input={"name": "Ada"}, id="mine") == (
            "error: tool start_run has no argument input, id; it has workflow, arguments, run_id, wait"
        )
        assert "tool list_handlers has no argument all; it has none" in await call("list_handlers", all=True)
        assert await call("list_runs") == []
        for tool in (await client.list_tools()).tools:
            assert tool.input_schema["additionalProperties"] is False

    driven(serving, story)


def test_a_server_that_has_another_port_after_its_restart_is_found_again(tmp_path):
    home = tmp_path / "home"

    async def story(_client: Client, call: Call) -> None:
        assert await call("list_runs") == []
        servers.close()
        assert "no orchestrator is served on the home" in await call("list_runs")
        second = servers.enter_context(served(home))
        assert second != first
        done = await call("start_run", workflow="greet", arguments={"name": "Ada"}, wait=30)
        assert done["result"] == "hello Ada"

    with ExitStack() as servers:
        first = servers.enter_context(served(home))
        driven(home, story)


def test_a_call_whose_server_is_killed_says_that_it_may_have_been_taken_and_goes_on_with_the_next_one(tmp_path):
    home = tmp_path / "home"

    async def story(_client: Client, call: Call) -> None:
        waiting = asyncio.create_task(call("start_run", workflow="waits", run_id="..", wait=60))
        while await call("list_runs") == []:
            pass
        os.kill(json.loads((home / "orchestrator.json").read_text())["pid"], signal.SIGKILL)
        said = await waiting
        assert "broke off before it had answered; what it was asked may have been taken: ask again" in said
        servers.close()
        servers.enter_context(served(home))
        assert (await call("start_run", workflow="waits", run_id=".."))["run_id"] == ".."
        assert len(await call("list_runs")) == 1

    with ExitStack() as servers:
        servers.enter_context(served(home))
        driven(home, story)


def test_a_client_may_be_kept_from_deciding_and_sees_which_tools_only_read(serving):
    async def story(client: Client, _call: Call) -> dict[str, Any]:
        return {tool.name: tool.annotations for tool in (await client.list_tools()).tools}

    every, fewer = driven(serving, story), driven(serving, story, "--no-decisions")
    assert every.keys() - fewer.keys() == {"decide_approval"}
    assert {name for name, hints in every.items() if not hints.read_only_hint} == {
        "start_run",
        "cancel_run",
        "ask_session",
        "decide_approval",
    }


@pytest.mark.parametrize(
    ("options", "token", "code", "sentence"),
    [
        ([], None, 4, "no orchestrator is served on the home"),
        (
            ["--url", "http://127.0.0.1:9"],
            "some-token-of-24-characters",
            4,
            "the orchestrator at http://127.0.0.1:9 cannot be reached",
        ),
    ],
)
def test_an_orchestrator_that_is_not_there_is_named_at_once(options, token, code, sentence, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({} if token is None else {"GREENROOM_TOKEN": token})}
    command = [sys.executable, "-m", "greenroom", "mcp", "--home", str(tmp_path / "home"), *options]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr


# ---------------------------------------------------------------- over HTTP


def test_the_server_answers_mcp_clients_itself_with_the_same_token(tmp_path, monkeypatch):
    """The client is a server definition of this package, so one orchestrator may use another one's tools."""
    with served(tmp_path / "home", "--mcp") as url:
        monkeypatch.setenv("THEIR_TOKEN", (tmp_path / "home" / "token").read_text().strip())
        other = mcp("other", url=f"{url}/mcp", headers={"Authorization": "Bearer $THEIR_TOKEN"})
        assert "decide_approval" in {tool.name for tool in asyncio.run(other.tools())}
        done = asyncio.run(other.call("start_run", workflow="greet", arguments={"name": "Ada"}, wait=30))
        assert done["result"] == "hello Ada"
        with pytest.raises(Fatal, match="there is no run 'nobody'"):
            asyncio.run(other.call("show_run", run_id="nobody"))

        monkeypatch.setenv("THEIR_TOKEN", "not-the-token-of-this-server")
        with pytest.raises(DefinitionError, match=r"`other` at .*/mcp answered with HTTP status 401: correct headers="):
            asyncio.run(other.tools())


def test_without_the_option_there_is_no_such_path(tmp_path, monkeypatch):
    with served(tmp_path / "home") as url:
        monkeypatch.setenv("THEIR_TOKEN", (tmp_path / "home" / "token").read_text().strip())
        absent = mcp("absent", url=f"{url}/mcp", headers={"Authorization": "Bearer $THEIR_TOKEN"})
        with pytest.raises(DefinitionError, match=r"`absent` at .*/mcp answered with HTTP status 404: correct url="):
            asyncio.run(absent.tools())
