"""Models of a provider in real workers, against a server that misbehaves: results, requests, keys, memory and time."""

import json
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from greenroom import Orchestrator, RunFailed
from tests.acceptance.apps.models import provided
from tests.acceptance.harness import pools
from tests.actors.models.provider_server import (
    Behaviour,
    ProviderServer,
    call,
    chunk,
    cut,
    error,
    respond,
    stream,
)
from tests.support import descendants, is_in_memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

GOOD = '{"title": "Otters", "bullets": ["kelp", "stones"]}'
RUNS = 200


def gives(arguments: str, then: Behaviour | None = None) -> Behaviour:
    """Answer with a call of the tool that ends a conversation; ``then`` ends the answer in its middle."""
    events = [chunk(call("give_final_answer", arguments))]
    if then is not None:
        return stream(*events, then=then)
    return stream(*events, chunk(finish="tool_calls"), "[DONE]")


@pytest.fixture
def key() -> str:
    return "".join(provided.PREFIX) + secrets.token_hex(12)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, key: str) -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        server.behaviours["test-model"] = gives(GOOD)
        for name in ("OPENAI", "ANTHROPIC"):
            monkeypatch.setenv(f"{name}_API_KEY", key)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
        yield server


def attempts(orchestrator: Orchestrator) -> list[str]:
    """Return the outcome of every attempt in the journal."""
    runs = orchestrator.runs(limit=None)
    return [each.outcome for run in runs for step in orchestrator.get(run.id).steps() for each in step.attempts]


def test_a_workflow_has_the_answer_of_a_provider_with_its_usage_and_an_unknown_price(server, orchestrator) -> None:
    run = orchestrator.start(provided.write, "about otters")
    assert run.result(timeout=120) == provided.Brief(title="Otters", bullets=["kelp", "stones"])
    (step,) = run.steps()
    assert "usd" not in step.attempts[0].usage
    assert len(server.requests) == 1
    assert server.requests[0].headers["authorization"].startswith("Bearer sk-planted-")


def test_an_error_of_the_server_is_tried_again_and_each_attempt_is_one_request(server, orchestrator) -> None:
    answers = iter([respond(500, error("internal")), respond(503, error("busy"), {"retry-after-ms": "20"})])
    whole = stream(chunk({"content": "Hello."}), chunk(finish="stop"), "[DONE]")

    async def behave(writer, request) -> None:
        await next(answers, whole)(writer, request)

    server.behaviours["broken"] = behave
    run = orchestrator.start(provided.recovers)
    assert run.result(timeout=120) == "Hello."
    assert attempts(orchestrator) == ["error", "error", "ok"]
    assert len(server.requests) == 3


def test_a_conversation_that_is_too_long_is_an_error_of_its_own_in_a_workflow(server, orchestrator) -> None:
    assert orchestrator.start(provided.reads).result(timeout=120).startswith("step long#1 failed after 1 attempt: ")
    assert len(server.requests) == 1


def test_the_key_is_where_models_are_asked_and_nowhere_else(server, orchestrator, key, home, tmp_path) -> None:
    found = orchestrator.start(provided.find_keys).result(timeout=120)
    assert found == {"tool": [], "program": [], "import": [], "checked": "Hello, world."}
    assert len(server.requests) == 1
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    kinds = {worker.pid: worker.kind for worker in orchestrator.workers()}
    assert set(kinds.values()) == {"program", "tool", "llm", "evaluator"}
    below = [process.pid for process in descendants()]
    assert set(kinds) < set(below), "and a keeper and a zygote"
    for pid in below:
        assert key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    if os.geteuid() == 0:  # only root may look into the memory of every process
        assert {kinds.get(pid, "zygote") for pid in below if is_in_memory(pid, key.encode())} == {"llm"}
    for file in [*home.rglob("*"), *tmp_path.rglob("*")]:
        if file.is_file():
            assert key.encode() not in file.read_bytes(), file


def test_workers_that_are_new_interpreters_have_the_key_as_well(server, tmp_path, mark, key) -> None:
    fresh = {kind: {"backend": "spawn"} for kind in ("program", "tool", "llm", "evaluator")}
    with Orchestrator(tmp_path / "runs.db", pools=pools(**fresh)) as orchestrator:
        found = orchestrator.start(provided.find_keys).result(timeout=120)
    assert found == {"tool": [], "program": [], "import": [], "checked": "Hello, world."}
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"


def test_workers_have_the_key_after_their_zygote_was_replaced(server, orchestrator) -> None:
    orchestrator.start(provided.write, "a").result(timeout=120)
    (zygote,) = (process for process in descendants() if process.name() == "greenroom-zyg")
    workers = zygote.children(recursive=True)
    zygote.kill()
    psutil.wait_procs(workers, 20)  # otherwise one may ask the model before it ends, and another one asks again
    orchestrator.start(provided.write, "b").result(timeout=120)
    assert len(server.requests) == 2


def test_without_a_key_a_step_fails_at_once_with_what_to_do(server, orchestrator, monkeypatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    run = orchestrator.start(provided.asks_claude)
    with pytest.raises(RunFailed, match="needs a key: set ANTHROPIC_API_KEY where the orchestrator runs"):
        run.result(timeout=120)
    assert attempts(orchestrator) == ["error"]


@pytest.mark.parametrize("seed", range(1, 6))
def test_runs_complete_on_a_server_that_fails_often_and_no_request_is_unaccounted(server, tmp_path, mark, seed) -> None:
    draw = random.Random(seed)

    async def behave(writer, request) -> None:
        share = draw.random()
        if share < 0.30:
            await gives(GOOD[:20])(writer, request)
        elif share < 0.40:
            await respond(429, error("slow down"), {"retry-after-ms": "20"})(writer, request)
        elif share < 0.45:
            await gives(GOOD[:20], then=cut)(writer, request)
        else:
            await gives(GOOD)(writer, request)

    server.behaviours["flaky"] = behave
    with Orchestrator(tmp_path / "runs.db", pools=pools()) as orchestrator:
        runs = [orchestrator.start(provided.write_flaky, f"otter {number}") for number in range(RUNS)]
        for run in runs:
            assert run.result(timeout=120).title == "Otters"
        outcomes = attempts(orchestrator)
    assert len(outcomes) == len(server.requests) > RUNS
    assert outcomes.count("ok") == RUNS
    assert {"ok", "invalid", "error"} == set(outcomes)
    told = [json.dumps(request.body["messages"]) for request in server.requests]
    assert any("is not JSON" in text for text in told), "what was wrong is said to the model"


def test_an_idle_worker_with_a_provider_is_small_and_its_first_call_is_quick(server, orchestrator, figure) -> None:
    orchestrator.start(provided.write, "a").result(timeout=120)
    (worker,) = (each for each in orchestrator.workers() if each.kind == "llm")
    process = psutil.Process(worker.pid)
    cpu = sum(process.cpu_times()[:2])
    figure("CPU of a worker with its first call", cpu, "s", "at most 0.1")
    assert cpu <= 0.2  # clocks tick at 0.01 s, and machines differ
    if os.geteuid() == 0:  # a process that holds a key shows its memory to root alone
        private = process.memory_full_info().uss / 2**20
        figure("private memory of an idle worker", private, "MiB", "at most 25")
        assert private <= 25
