"""MCP servers as supervised workers: real servers that die, hang, mumble and ask, and what their callers see."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from greenroom import Fatal, Orchestrator, OutcomeUnknown, RunFailed
from tests.acceptance import harness
from tests.acceptance.harness import pools
from tests.acceptance.kills.agents.test_agents import told
from tests.support import eventually

pytest.importorskip("mcp")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Log:
    """What the server itself has logged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, what: str) -> list[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line for line in map(json.loads, lines) if line["what"] == what]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    path = tmp_path / "server.log"
    monkeypatch.setenv("MCP_LOG", str(path))
    return Log(path)


@pytest.fixture
def served(log: Log, monkeypatch: pytest.MonkeyPatch):
    """Import the app anew, as it reads the log's path when it is imported."""
    from importlib import reload  # noqa: PLC0415

    from tests.acceptance.apps.mcp import served as app  # noqa: PLC0415

    monkeypatch.setattr(app, "LOG", str(log.path))
    return app if app.command[-1] == str(log.path) else reload(app)


@pytest.fixture
def orchestrator(tmp_path: Path, home: Path, mark: str, log: Log):
    with Orchestrator(tmp_path / "runs.db", pools=pools()) as opened:
        yield opened


def run(orchestrator: Orchestrator, workflow, *args, timeout: float = 60) -> Any:
    return orchestrator.start(workflow, *args).result(timeout)


def seconds(attempt: Any) -> float:
    return (attempt.ended_at - attempt.started_at).total_seconds()


def attempts_of(handle: Any, key: str) -> Any:
    return next(step.attempts for step in handle.steps() if step.key == key)


# ---------------------------------------------------------------- what a call gives


def test_a_call_returns_structured_content_or_text(orchestrator, served, log):
    assert run(orchestrator, served.calls, "read_file", {"path": "a"}) == {"result": "content of a"}
    assert run(orchestrator, served.calls, "plain_text", {"path": "a"}) == "text of a"
    assert run(orchestrator, served.calls, "refund", {"order": 7}) == {"refunded": 7}
    assert len(log.of("start")) == 1  # one server for all of them


def test_a_call_is_a_step_with_the_name_of_the_tool(orchestrator, served):
    handle = orchestrator.start(served.calls, "read_file", {"path": "a"})
    handle.result(60)
    assert [(step.key, step.kind) for step in handle.steps()] == [("tools#1", "tool"), ("read_file#1", "tool")]
    workers = {worker.pool for worker in orchestrator.workers() if "mcp" in worker.pool}
    assert workers == {"mcp:served"}


def test_the_tools_are_listed_once_with_their_hints(orchestrator, served):
    handle = orchestrator.start(served.lists)
    found = {name: rest for name, *rest in handle.result(60)}
    assert found["read_file"][:3] == [True, False, False]
    assert found["spins_first"][:3] == [False, True, True]
    assert found["refund"][:3] == [False, False, True]
    assert found["refund"][3]["properties"]["order"]["type"] == "integer"
    assert [step.key for step in handle.steps()] == ["tools#1"]


def test_calls_at_once_share_one_listing(orchestrator, served):
    handle = orchestrator.start(served.at_once, 5)
    assert handle.result(90) == [f"content of {number}" for number in range(5)]
    assert sum("tools#" in step.key for step in handle.steps()) == 1


def test_a_tool_that_raises_fails_its_step_at_once_with_its_text(orchestrator, served, log):
    failed, after = run(orchestrator, served.goes_on, "raises", {})
    assert failed.startswith("failed after 1: ")
    assert "the disk is on fire" in failed
    assert after == "content of next"
    assert len(log.of("raises")) == 1
    assert len(log.of("start")) == 1


def test_an_unknown_tool_is_named_with_those_that_are_near(orchestrator, served):
    failed, _ = run(orchestrator, served.goes_on, "reed_file", {})
    assert "MCP server `served` has no tool `reed_file`; did you mean `read_file`" in failed
    assert failed.startswith("failed after 1: ")


def test_arguments_that_the_server_refuses_fail_at_once(orchestrator, served, log):
    failed, _ = run(orchestrator, served.goes_on, "refund", {"order": "many"})
    assert failed.startswith("failed after 1: ")
    assert "order" in failed
    assert log.of("refund") == []


def test_a_server_sees_the_variables_that_it_was_given_by_name_and_no_other_server_does(
    tmp_path, home, mark, log, served, monkeypatch
):
    monkeypatch.setenv("SERVED_API_KEY", "sk-served-0123456789abcdef")
    with Orchestrator(tmp_path / "runs.db", pools=pools()) as orchestrator:
        assert run(orchestrator, served.environments) == [False, True]


# ---------------------------------------------------------------- death


def test_a_read_only_call_is_made_again_after_its_server_died_and_one_result_is_seen(orchestrator, served, log, figure):
    handle = orchestrator.start(served.calls, "dies_first", {"order": 3})
    assert handle.result(60) == {"result": 3}
    assert len(log.of("dies_first")) == 2
    attempts = attempts_of(handle, "dies_first#1")
    assert [attempt.outcome for attempt in attempts] == ["crash", "ok"]
    assert "MCP server `served` was killed by SIGKILL" in attempts[0].error
    assert len({attempt.pid for attempt in attempts}) == 2
    noticed = attempts[0].ended_at.timestamp() - log.of("dies_first")[0]["at"]
    figure("from a server's death to the end of the attempt", noticed, "s", "0.1")
    assert noticed < 2.0


def test_a_call_without_hints_has_no_second_effect_and_its_outcome_is_unknown(orchestrator, served, log):
    failed, after = run(orchestrator, served.goes_on, "dies_after_its_effect", {"order": 3})
    assert failed.startswith("unknown: ")
    assert after == "content of next"
    assert len(log.of("dies_after_its_effect")) == 1
    assert len(log.of("start")) == 2


def test_the_author_may_have_a_call_without_hints_made_again(orchestrator, served, log):
    with pytest.raises(RunFailed, match="StepQuarantined"):
        run(orchestrator, served.calls_boldly, "dies_after_its_effect", {"order": 3})
    assert len(log.of("dies_after_its_effect")) == 2


def test_a_server_that_is_killed_between_calls_is_replaced(orchestrator, served, log):
    assert run(orchestrator, served.calls, "refund", {"order": 1}) == {"refunded": 1}
    worker = next(worker for worker in orchestrator.workers() if worker.pool == "mcp:served")
    (first,) = log.of("start")
    assert first["ppid"] == worker.pid
    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: harness.is_over(worker.pid), 5.0, what="the end of the worker")
    assert run(orchestrator, served.calls, "refund", {"order": 2}) == {"refunded": 2}
    assert [line["order"] for line in log.of("refund")] == [1, 2]


def test_processes_that_a_dead_server_leaves_behind_die_with_it_and_do_not_hide_its_death(orchestrator, served, log):
    failed, after = run(orchestrator, served.goes_on, "leaves_processes_behind", {"order": 1})
    assert failed.startswith("unknown: ")
    assert after == "content of next"
    (line,) = log.of("leaves_processes_behind")
    assert harness.is_over(line["child"])


# ---------------------------------------------------------------- silence and noise


@pytest.mark.parametrize("tool", ["stops_first", "spins_first"])
def test_a_server_that_hangs_in_a_call_is_killed_at_the_deadline_and_replaced(tool, orchestrator, served, log):
    handle = orchestrator.start(served.calls_hastily, tool, {"order": 4})
    assert handle.result(60) == {"result": 4}
    attempts = attempts_of(handle, f"{tool}#1")
    assert [attempt.outcome for attempt in attempts] == ["timeout", "ok"]
    assert 2.0 <= seconds(attempts[0]) < 3.0
    first = log.of(tool)[0]["pid"]
    assert harness.is_over(first)
    assert len(log.of(tool)) == 2


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        (
            "garbage in a call",
            "wrote to its standard output what is not a message of the protocol: 'debug: writing to the wrong",
        ),
        ("closes its output", "MCP server `closes-its-output` closed its standard output"),
    ],
)
def test_a_server_that_breaks_the_protocol_in_a_call_ends_at_once_with_a_sentence(mode, sentence, orchestrator, served):
    handle = orchestrator.start(served.calls_raw, mode)
    with pytest.raises(RunFailed, match="StepQuarantined"):
        handle.result(60)
    attempts = attempts_of(handle, "read#1")
    assert [attempt.outcome for attempt in attempts] == ["crash", "crash"]  # it says that it only reads
    assert all(sentence in attempt.error for attempt in attempts)
    assert all(seconds(attempt) < 3.0 for attempt in attempts)


def test_an_error_that_looks_like_a_closed_connection_is_the_answer_of_a_server_that_lives(orchestrator, served):
    with pytest.raises(RunFailed, match="refused the request: the shop is closed") as failed:
        run(orchestrator, served.calls_raw, "error like a closed connection")
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("error with data", 'refused the request: Internal error: {"reason": "the shelf is empty"} (code -32603)'),
        ("error with data alone", "refused the request: the shelf is empty (code -32603)"),
        ("fails in a structure", 'tool `read` of MCP server `fails-in-a-structure` failed: {"reason": "sold out"}'),
        ("fails in a resource", '"text": "sold out"'),
    ],
)
def test_the_reason_of_a_failure_is_told_wherever_the_server_gives_it(mode, said, orchestrator, served):
    with pytest.raises(RunFailed) as failed:
        run(orchestrator, served.calls_raw, mode)
    assert said in str(failed.value)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"]


def test_content_that_is_not_text_is_given_as_json(orchestrator, served):
    text, image = run(orchestrator, served.calls_raw, "image")
    assert text == {"type": "text", "text": "a dot"}
    assert image == {"type": "image", "data": "aGk=", "mimeType": "image/png"}


def test_a_model_reads_the_text_beside_an_image_and_is_spared_its_bytes(orchestrator, served):
    handle = orchestrator.start(served.sees)
    assert handle.result(60) == "I go on"
    ((said, failed),) = told(handle)
    text, image = json.loads(said)
    assert (text, failed) == ({"type": "text", "text": "a dot"}, False)
    assert image == {"type": "image", "data": "(2 bytes that are not shown here)", "mimeType": "image/png"}
    step = next(step for step in handle.steps() if step.name == "read")
    assert step.result[1]["data"] == "aGk=", "the record has the whole"


def test_tools_of_the_same_name_are_told_apart_by_their_servers(orchestrator, served):
    handle = orchestrator.start(served.chooses)
    assert handle.result(60) == "I go on"
    assert told(handle) == [("content of a", False), ("content of b", False), ("c of no server", False)]
    assert sorted(step.name for step in handle.steps() if "read_file" in step.key) == ["read_file"] * 3


def test_a_question_of_an_older_protocol_is_refused_with_the_reason(orchestrator, served):
    assert "protocol 2026-07-28" in run(orchestrator, served.calls_raw, "asks in the middle of a call")


def test_a_call_that_is_no_longer_awaited_ends_with_its_server(orchestrator, served, log, tmp_path):
    handle = orchestrator.start(served.cancels, 8.0, str(tmp_path / "gate"))
    eventually(lambda: log.of("waits"), 30.0, what="the call")
    assert handle.result(60) == "content of after"
    assert harness.is_over(log.of("waits")[0]["pid"])


def test_a_stop_ends_a_server_without_waiting_for_its_call(tmp_path, home, mark, log, served):
    with Orchestrator(tmp_path / "runs.db", pools=pools()) as orchestrator:
        assert run(orchestrator, served.calls, "refund", {"order": 1}) == {"refunded": 1}
        (start,) = log.of("start")
        began = time.monotonic()
    assert harness.is_over(start["pid"])
    assert time.monotonic() - began < 10.0


# ---------------------------------------------------------------- questions


def test_a_question_of_a_tool_becomes_an_approval_and_the_call_goes_on_with_the_answer(orchestrator, served, log):
    handle = orchestrator.start(served.calls, "delete", {"path": "/a"})
    approval = eventually(orchestrator.approvals, 60.0)[0]
    assert approval.action == "delete: Delete /a?"
    assert approval.args == {"confirm": True, "reason": "none"}
    assert log.of("delete") == []
    orchestrator.decide(approval.id, "edit", args={"confirm": True, "reason": "too old"})
    assert handle.result(60) == {"deleted": True, "reason": "too old"}
    assert len(log.of("delete")) == 1
    assert [step.key for step in handle.steps() if step.kind == "tool"] == ["tools#1", "delete#1", "delete#2"]


def test_a_rejected_question_is_declined(orchestrator, served, log):
    handle = orchestrator.start(served.goes_on, "delete", {"path": "/a"})
    orchestrator.decide(eventually(orchestrator.approvals, 60.0)[0].id, "reject")
    failed, _ = handle.result(60)
    assert failed.startswith("failed after 1: ")
    assert log.of("delete") == []


def test_an_answer_reaches_a_server_that_was_started_after_the_question(orchestrator, served, log):
    """The state that came with the question is sealed with a key of the dead process."""
    handle = orchestrator.start(served.calls, "delete", {"path": "/a"})
    approval = eventually(orchestrator.approvals, 60.0)[0]
    for start in log.of("start"):
        os.kill(start["pid"], signal.SIGKILL)
        eventually(lambda worker=start["ppid"]: harness.is_over(worker), 10.0, what="the end of its worker")
    orchestrator.decide(approval.id, "approve")
    assert handle.result(60) == {"deleted": True, "reason": "none"}
    assert len(log.of("delete")) == 1


# ---------------------------------------------------------------- outside of workflows


def test_outside_of_a_workflow_a_call_starts_a_server_of_its_own(served, log, mark):
    assert asyncio.run(served.server.call("refund", order=1)) == {"refunded": 1}
    assert "refund" in {tool.name for tool in asyncio.run(served.server.tools())}
    with pytest.raises(Fatal, match="the disk is on fire"):
        asyncio.run(served.server.call("raises"))
    with pytest.raises(OutcomeUnknown, match="was killed by SIGKILL"):
        asyncio.run(served.server.call("dies_after_its_effect", order=1))
    with pytest.raises(OutcomeUnknown, match="did not answer in time"):
        asyncio.run(served.hasty.call("stops_first", order=1))
    assert all(harness.is_over(start["pid"]) for start in log.of("start"))


def test_the_server_is_described(served):
    assert repr(served.server) == f"<MCP server `served`: {sys.executable} {served.SERVER} {served.command[-1]}>"


# ---------------------------------------------------------------- death of the orchestrator


def test_no_server_outlives_a_killed_orchestrator_and_the_run_goes_on_in_the_next_one(tmp_path, mark, log, served):
    owner = subprocess.Popen([sys.executable, "-m", "tests.acceptance.apps.mcp.served_owner", str(tmp_path)])
    try:
        eventually(lambda: log.of("waits"), 60.0, what="the call")
        (first,) = log.of("waits")
        os.kill(first["pid"], signal.SIGSTOP)  # nothing may depend on its good will
    finally:
        owner.kill()
        owner.wait()
    eventually(lambda: not harness.census(mark), 5.0, what="the end of all its processes")
    assert harness.is_over(first["pid"])

    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", pools=pools()) as orchestrator:
        eventually(lambda: len(log.of("waits")) == 2, 60.0, what="the second attempt")
        (tmp_path / "gate").touch()
        assert orchestrator.get("waiting").result(60) == {"result": "opened"}
