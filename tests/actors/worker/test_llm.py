import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from greenroom.actors.models import Model, ModelReply, ModelRequest, check_model
from greenroom.actors.models.embedded.mock import MockModel
from greenroom.actors.worker.models.prompt import ask, request_of, resolve_model
from greenroom.actors.worker.models.text_stream import JOIN
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.json_text import plain
from greenroom.messages.frames.worker import Completed, Emitted, Failed, Ready
from greenroom.workflows.authoring.llm import LLM
from tests.actors.worker_process import STOP, Worker, abort, execute

# ---------------------------------------------------------------- which model


class Echo:
    """A model of the user's own."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        return ModelReply(json.dumps([request.prompt, request.instructions, dict(request.settings), request.schema]))


def test_any_object_that_completes_is_a_model() -> None:
    llm = LLM("echo", output=list[Any], model=Echo(), instructions="Be brief.", settings={"temperature": 0})
    value, _ = asyncio.run(ask(llm.definition, request_of(llm.definition, "hello")))
    assert value == ["hello", "Be brief.", {"temperature": 0}, {"type": "array", "items": {}}]


def test_a_model_of_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        DefinitionError,
        match="LLM `w` asks for the model 'opnai:gpt-5', which is not known: did you mean 'openai:gpt-5",
    ):
        LLM("w", model="opnai:gpt-5")
    with pytest.raises(DefinitionError, match="has a model that is neither a name nor a model: 3"):
        check_model(3, "LLM `w`")


def test_the_default_model_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREENROOM_MODEL", raising=False)
    model: Model = resolve_model(None, "LLM `w`")
    assert isinstance(model, MockModel)
    monkeypatch.setenv("GREENROOM_MODEL", "nobody:nothing")
    with pytest.raises(
        DefinitionError, match=r"LLM `w` \(through GREENROOM_MODEL\) asks for the model 'nobody:nothing'"
    ):
        resolve_model(None, "LLM `w`")


# ---------------------------------------------------------------- the worker

APP = """
    import asyncio
    from pydantic import BaseModel
    from greenroom import LLM, Fatal, MockModel, RetryAfter, current

    class Brief(BaseModel):
        title: str
        bullets: list[str]

    class Exits:
        async def complete(self, request):
            await asyncio.sleep(0.05)
            raise {"exit": SystemExit(6), "base": BaseException("beyond")}[request.prompt]

    class Context:
        async def complete(self, request):
            from greenroom.actors.models import ModelReply
            return ModelReply(f"{current().attempt} {request.attempt} {request.idempotency_key} {list(request.feedback)}")

    writer = LLM("writer", output=Brief, model=MockModel(latency=0))
    default = LLM("default")
    context = LLM("context", model=Context())
    exits = LLM("exits", model=Exits())
    slow = LLM("slow", model=MockModel(latency=0.2))
    endless = LLM("endless", model=MockModel(latency=3600))
    scripted = LLM("scripted", output=list[int], model=MockModel(latency=0, replies=["[1, 2", [1, 2], "x" * 5000]))
    resets = LLM("resets", model=MockModel(latency=0, replies=[ConnectionResetError("gone")]))
    limited = LLM("limited", model=MockModel(latency=0, replies=[RetryAfter(3, "429")]))
    unpaid = LLM("unpaid", model=MockModel(latency=0, replies=[Fatal("402")]))
    refuses = LLM("refuses", model=MockModel(latency=0, refusals=1.0))
    steady = LLM("steady", model=MockModel(latency=0.4))
    cut = LLM("cut", model=MockModel(latency=0.1, malformed=1.0))
    vast = LLM("vast", model=MockModel(latency=0, replies=["x" * (17 << 20)]))
"""
SOURCE = "Summarise:\n\nSea otters live in kelp forests. They use stones as tools. Their fur is very dense."


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "app.py"
    path.write_text(dedent(APP))
    return path


@pytest.fixture(scope="module")
def worker(app: Path) -> Iterator[Worker]:
    worker = Worker(str(app), "llm", concurrency=64)
    assert isinstance(worker.receive(), Ready)
    yield worker
    worker.close()


def test_an_answer_is_json_of_the_output_with_its_usage(worker: Worker) -> None:
    answer = worker.call("app:LLM.writer", SOURCE)
    assert isinstance(answer, Completed)
    assert set(plain(answer.result)["bullets"]) <= {
        "Sea otters live in kelp forests.",
        "They use stones as tools.",
        "Their fur is very dense.",
    }
    assert answer.usage["input_tokens"] == len(SOURCE) // 4
    assert answer.usage["output_tokens"] > 0


def test_the_default_model_answers(worker: Worker) -> None:
    assert "otters" in worker.call("app:LLM.default", SOURCE).result


def streamed(worker: Worker, name: str, channel: str = "text") -> tuple[list[str], Any]:
    """Give the pieces of text that a call emits, and its answer."""
    worker.send(execute(f"app:LLM.{name}", SOURCE, token="4:1").model_copy(update={"stream": channel}))
    pieces: list[str] = []
    while isinstance(said := worker.receive(), Emitted):
        assert (said.token, said.channel) == ("4:1", channel)
        pieces.append(str(plain(said.value)))
    return pieces, said


def test_text_is_emitted_in_joined_pieces_before_the_answer(worker: Worker) -> None:
    pieces, answer = streamed(worker, "steady")
    assert isinstance(answer, Completed)
    assert "".join(pieces) == plain(answer.result)
    assert 3 < len(pieces) <= 0.4 / JOIN + 1, "pieces that come within 50 ms are one"


def test_what_was_streamed_before_an_answer_was_cut_off_is_emitted_too(worker: Worker) -> None:
    pieces, answer = streamed(worker, "cut")
    assert isinstance(answer, Failed)
    assert answer.failure.outcome == "invalid"
    assert "".join(pieces) == answer.failure.raw


def test_calls_are_worked_on_at_the_same_time(worker: Worker) -> None:
    started = time.monotonic()
    worker.send(*(execute("app:LLM.slow", SOURCE, token=f"2:{n}") for n in range(50)))
    assert {worker.receive().token for _ in range(50)} == {f"2:{n}" for n in range(50)}
    assert time.monotonic() - started < 50 * 0.2 / 2


def test_each_call_knows_its_own_attempt_and_feedback(worker: Worker) -> None:
    for attempt in (1, 2):
        message = execute("app:LLM.context", "x", attempt=attempt).model_copy(
            update={"feedback": ("shorter",) * attempt}
        )
        worker.send(message)
        key = message.idempotency_key
        assert worker.receive().result == f"{attempt} {attempt} {key} {['shorter'] * attempt}"


def test_an_answer_that_does_not_fit_is_invalid_with_what_was_said(worker: Worker) -> None:
    failed = worker.call("app:LLM.scripted", "x")
    assert isinstance(failed, Failed)
    assert failed.failure.outcome == "invalid"
    assert failed.failure.message.startswith("the answer is not JSON: EOF")
    assert failed.failure.raw == "[1, 2"
    assert failed.usage["output_tokens"] == 1
    assert failed.failure.fatal is False
    worker.send(execute("app:LLM.scripted", "x", attempt=2))
    assert worker.receive().result == [1, 2]
    worker.send(execute("app:LLM.scripted", "x", attempt=3))
    raw = worker.receive().failure.raw
    assert "[... 3000 characters ...]" in raw
    assert len(raw) < 2100


@pytest.mark.parametrize(
    ("name", "outcome", "type_", "fatal", "retry_after"),
    [
        ("resets", "error", "ConnectionResetError", False, None),
        ("limited", "error", "RetryAfter", False, 3.0),
        ("unpaid", "error", "Fatal", True, None),
        ("refuses", "invalid", "", False, None),
        ("vast", "error", "NotSerializable", True, None),
    ],
)
def test_what_goes_wrong_with_a_provider_is_told_apart(
    worker: Worker, name: str, outcome: str, type_: str, *, fatal: bool, retry_after: float | None
) -> None:
    failure = worker.call(f"app:LLM.{name}", "x").failure
    assert (failure.outcome, failure.type, failure.fatal, failure.retry_after) == (outcome, type_, fatal, retry_after)


def test_a_call_is_cancelled_without_its_neighbours(worker: Worker) -> None:
    worker.send(
        execute("app:LLM.endless", "x", token="3:1"),
        execute("app:LLM.slow", SOURCE, token="3:2"),
        abort("3:1"),
        abort("3:9"),
    )
    first, second = worker.receive(), worker.receive()
    assert (first.token, first.failure.outcome) == ("3:1", "cancelled")
    assert (second.token, second.type) == ("3:2", "completed")


def test_a_stop_lets_calls_finish(start_worker: Callable[..., Worker], app: Path) -> None:
    worker = start_worker(app, "llm")
    worker.receive()
    worker.send(execute("app:LLM.slow", SOURCE), STOP)
    assert isinstance(worker.receive(), Completed)
    assert worker.wait() == 0


@pytest.mark.parametrize(("prompt", "code"), [("exit", 6), ("base", 1)])
def test_what_is_no_exception_ends_the_process_and_sends_nothing_for_anyone(
    start_worker: Callable[..., Worker], app: Path, prompt: str, code: int
) -> None:
    worker = start_worker(app, "llm")
    worker.receive()
    worker.send(execute("app:LLM.endless", "x", token="1:1"), execute("app:LLM.exits", prompt, token="1:2"))
    assert worker.wait() == code
    with pytest.raises(AssertionError, match="the worker has gone"):
        worker.receive()
    assert ("BaseException: beyond" in worker.stderr()) == (prompt == "base")


def test_an_idle_worker_ends_without_a_word(start_worker: Callable[..., Worker], app: Path) -> None:
    worker = start_worker(app, "llm")
    assert isinstance(worker.receive(), Ready)
    worker.send(STOP)
    assert worker.wait() == 0
    assert worker.stderr() == ""
