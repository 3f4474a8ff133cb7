"""Servers that misbehave: what the agent's model is told, how soon, what is left of them, and what memory they took."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenroom import Orchestrator, RunFailed, RunParked
from tests.acceptance.apps.mcp.rogue_mcp_http import RogueServer, rogue
from tests.acceptance.harness import pools
from tests.acceptance.kills.agents.test_agents import told

pytest.importorskip("mcp")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SERVER = Path(__file__).parents[1] / "apps" / "mcp" / "rogue_mcp_server.py"
DEADLINE = 2.0
UNKNOWN = "the call was interrupted and its outcome is unknown"
LATE = "overran its time of 2 s and was killed"
MOST_MIB = 300
"""Memory that a worker may have had: its own, and twice the longest message of 64 MiB."""


def write_app(folder: Path, **options: Any) -> str:
    """Write an app whose agent writes once and reads once, by tools of one server."""
    path = folder / "app.py"
    path.write_text(
        textwrap.dedent(f"""
            from greenroom import LLM, mcp, workflow
            from tests.acceptance.apps.agents.agents import asks, model

            rogue = mcp("rogue", timeout={DEADLINE}, env=["ACCEPTANCE_MARK"], **{options!r})
            user = LLM("user", tools=[rogue], model=model(asks(("write", "{{}}")), asks(("read", "{{}}")), "I go on"))

            @workflow
            async def consult() -> str:
                return await user("Write, then read.")
        """)
    )
    return str(path)


def command(mode: str, folder: Path) -> list[str]:
    return [sys.executable, str(SERVER), mode, str(folder / "rogue.log")]


@pytest.fixture
def orchestrator(tmp_path: Path, home: Path, mark: str) -> Iterator[Orchestrator]:
    """Show no output: pytest would keep in memory what a server writes."""
    with Orchestrator(tmp_path / "runs.db", pools=pools(), output=False) as opened:
        yield opened


@pytest.fixture
def remote() -> Iterator[RogueServer]:
    with rogue() as server, rogue() as elsewhere:
        server.elsewhere = elsewhere
        yield server


def see(orchestrator: Orchestrator, path: str, outcome: str, said: str, figure: Any, what: str) -> None:
    """Let the agent use the server, and check what it was told, when, and at what price."""
    me = psutil.Process()
    before = me.memory_info().rss
    run = orchestrator.start_app(path, "consult", {})
    assert run.result(60) == "I go on"
    grown = (me.memory_info().rss - before) / 2**20
    (_, (text, failed), (after, again)) = [("", False), *told(run)]
    assert (after, again) == ("some text", False)
    assert said in text
    assert "input_value" not in text, "it may hold a part of a secret, which nobody recognizes"
    assert failed == (outcome != "ok")
    attempts = [each for step in run.steps() if step.name == "write" for each in step.attempts]
    assert [attempt.outcome for attempt in attempts] == [outcome]
    took = max(
        (each.ended_at - each.started_at).total_seconds()
        for step in run.steps()
        for each in step.attempts
        if step.name in {"write", "read"}
    )
    assert took < DEADLINE + 1
    peaks = [each.exit.peak_memory_mb or 0.0 for each in attempts if each.exit is not None]
    figure(f"{what}: seconds of the longest attempt", took, "s", f"{DEADLINE + 1:g}")
    figure(f"{what}: peak of the worker", max(peaks, default=0.0), "MiB", str(MOST_MIB))
    assert all(peak < MOST_MIB for peak in peaks)
    assert grown < 100, "the orchestrator must not keep what a server writes"


@pytest.mark.parametrize(
    ("mode", "outcome", "said"),
    [
        ("mute", "timeout", UNKNOWN),
        ("stops", "timeout", LATE),
        ("stops when idle", "ok", "written"),
        ("closes its output", "crash", "MCP server `rogue` closed its standard output"),
        ("garbage", "crash", "what is not a message of the protocol: 'debug: not for this stream'"),
        ("endless line", "crash", "wrote a line of more than 64 MiB to its standard output"),
        ("endless messages", "timeout", LATE),
        ("endless log", "timeout", LATE),
        ("stubborn", "timeout", LATE),
        ("wrong id", "timeout", LATE),
        ("answers twice", "ok", "written"),
        ("long answer", "error", " bytes is over the limit of 16777216 bytes"),
        ("other tools", "error", "there is no tool write any more"),
        ("no content", "error", "MCP server `rogue` answered wrongly: content: Field required"),
        ("last page for ever", "ok", "written"),
        ("tools without end", "ok", "written"),
    ],
)
def test_the_model_is_told_in_time_nothing_is_left_and_the_next_call_works(
    mode, outcome, said, orchestrator, tmp_path, figure
):
    """That no process is left is checked by the fixture ``mark``; a call without hints must not be made twice."""
    see(orchestrator, write_app(tmp_path, command=command(mode, tmp_path)), outcome, said, figure, mode)
    calls = [line.split()[0] for line in (tmp_path / "rogue.log").read_text().splitlines()]
    assert calls.count("write") == (mode != "other tools")


@pytest.mark.parametrize(
    ("mode", "outcome", "said"),
    [
        ("mute", "timeout", LATE),
        ("reset", "crash", "the connection to MCP server `rogue` ended: ReadError"),
        ("500", "crash", "answered with HTTP status 500: look at its own log"),
        ("401", "crash", "answered with HTTP status 401: correct headers="),
        ("404", "crash", "answered with HTTP status 404: correct url="),
        ("429", "crash", "answered with HTTP status 429: try again later"),
        ("redirect", "error", "not followed; use that URL as the endpoint if it is the intended server"),
        ("page", "crash", "Unexpected content type: text/html"),
        ("cut", "crash", "peer closed connection without sending complete message body"),
        ("endless-body", "crash", "MCP server `rogue` answered with more than 64 MiB"),
        ("endless-event", "crash", "Server-sent event exceeded the 67108864 byte limit"),
        ("endless-line", "crash", "Server-sent event exceeded the 67108864 byte limit"),
        ("endless-comments", "timeout", LATE),
        ("bomb", "crash", "answered with a body compressed by gzip, which was not asked for"),
        ("wrong-id", "timeout", LATE),
        ("long-answer", "ok", "xxx"),
        ("busy", "error", "MCP server `rogue` refused the request: the queue is full (code -32000)"),
        ("busy-event", "error", "MCP server `rogue` refused the request: the queue is full (code -32000)"),
        ("shut-down", "crash", "the connection to MCP server `rogue` ended: Connection closed"),
    ],
)
def test_the_same_holds_for_a_server_that_is_reached_by_its_url(
    mode, outcome, said, orchestrator, remote, tmp_path, figure
):
    path = write_app(tmp_path, url=f"http://127.0.0.1:{remote.server_port}/{mode}")
    see(orchestrator, path, outcome, said, figure, mode)
    assert remote.calls == ["write", "read"]
    assert remote.elsewhere.connections == 0


# ---------------------------------------------------------------- from the start


def park(orchestrator: Orchestrator, path: str) -> tuple[str, float]:
    """Give the sentence with which a run is parked, and after how many seconds that was."""
    run = orchestrator.start_app(path, "consult", {})
    with pytest.raises(RunParked) as parked:
        run.result(60)
    assert not [step for step in run.steps() if "model" in step.key]  # nothing was spent
    assert "input_value" not in str(parked.value), "it may hold a part of a secret, which nobody recognizes"
    events = list(run.events())
    return str(parked.value), (events[-1].event.at - events[0].event.at)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("mute", "did not answer within 2 s of its start, its start_timeout"),
        ("stops", "did not answer within 2 s of its start, its start_timeout"),
        ("stubborn", "did not answer within 2 s of its start, its start_timeout"),
        ("endless messages", "did not answer within 2 s of its start, its start_timeout"),
        ("closes its output", "closed its standard output"),
        ("garbage", "wrote to its standard output what is not a message of the protocol: 'debug: not for this stream'"),
        ("endless line", "wrote a line of more than 64 MiB to its standard output"),
        ("exits", 'ended with exit code 3; the line before that is "no licence"'),
    ],
)
def test_a_server_that_cannot_be_used_from_the_start_is_started_once_and_parks_the_run(
    mode, said, orchestrator, tmp_path, figure
):
    path = write_app(tmp_path, command=command(f"at once {mode}", tmp_path), start_timeout=DEADLINE)
    sentence, seconds = park(orchestrator, path)
    assert f"MCP server `rogue` {said}" in sentence
    assert "no worker of pool mcp:rogue for " in sentence
    figure(f"{mode}: seconds from the start of the run until it was parked", seconds, "s", f"{DEADLINE + 1:g}")
    assert seconds < DEADLINE + 3
    assert (tmp_path / "rogue.log").read_text().count("start") == 1


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("mute", "did not answer within 2 s of its start, its start_timeout"),
        ("401", "answered with HTTP status 401: correct headers="),
        ("404", "answered with HTTP status 404: correct url="),
        ("redirect", "does not speak the protocol: MCPError: Redirect to"),
        ("no-message", "does not speak the protocol: MCPError: Failed to parse JSON response: 4 validation errors for"),
        ("page", "does not speak the protocol: MCPError: Unexpected content type: text/html; correct url="),
        ("endless-body", "answered with more than 64 MiB"),
        ("endless-comments", "did not answer within 2 s of its start, its start_timeout"),
        ("bomb", "answered with a body compressed by gzip"),
        ("wrong-id", "did not answer within 2 s of its start, its start_timeout"),
    ],
)
def test_a_url_that_cannot_be_used_is_tried_once_and_parks_the_run(mode, said, orchestrator, remote, tmp_path, figure):
    path = write_app(tmp_path, url=f"http://127.0.0.1:{remote.server_port}/at-once-{mode}", start_timeout=DEADLINE)
    sentence, seconds = park(orchestrator, path)
    assert said in sentence
    assert "no worker of pool mcp:rogue for " in sentence
    figure(f"{mode}: seconds from the start of the run until it was parked", seconds, "s", f"{DEADLINE + 1:g}")
    assert seconds < DEADLINE + 3
    assert remote.elsewhere.connections == 0


@pytest.mark.parametrize("mode", ["reset", "500", "429"])
def test_a_url_that_may_work_a_moment_later_is_tried_again(mode, orchestrator, remote, tmp_path):
    path = write_app(tmp_path, url=f"http://127.0.0.1:{remote.server_port}/at-once-{mode}")
    sentence, _ = park(orchestrator, path)
    assert "die as often as they are started" in sentence
    assert remote.connections >= 6


def test_a_sentence_of_several_lines_is_quoted_as_a_whole(orchestrator, tmp_path):
    sentence, _ = park(orchestrator, write_app(tmp_path, command=command("refuses to list", tmp_path)))
    assert "MCP server `rogue` refused the request: no licence for you (code -32000)" in sentence


def test_two_tools_that_a_model_could_not_tell_apart_are_named_with_their_server(orchestrator, tmp_path):
    run = orchestrator.start_app(write_app(tmp_path, command=command("two names alike", tmp_path)), "consult", {})
    with pytest.raises(RunFailed) as failed:
        run.result(60)
    assert "more than one tool of the name 'read_all', as a model would see them" in str(failed.value)
    assert "`read.all` of MCP server `rogue`, `read_all` of MCP server `rogue`" in str(failed.value)
