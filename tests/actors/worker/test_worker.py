"""Workers as they really are: a process, a socket, an actor."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from greenroom.messages.codecs.codec import HEADER, SCHEMA_VERSION, TO_WORKER
from greenroom.messages.frames.worker import Completed, Failed, Judged, Progress, Ready
from tests.actors.worker_process import STOP, Worker, abort, evaluate, execute
from tests.support import eventually

APP = """
import asyncio
import contextlib
import contextvars
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from datetime import date

from pydantic import BaseModel

from greenroom import Fatal, RetryAfter, Score, current, evaluator, tool


class Item(BaseModel):
    name: str
    due: date | None = None


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class NotFound(LookupError):
    pass


left = contextvars.ContextVar("left", default="nothing")
strays: list[str] = []


@tool
def echo(item: Item, *more: int, loud: bool = False) -> list[Item]:
    return [item.model_copy(update={"name": item.name.upper() if loud else item.name})] * (1 + len(more))


@tool
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@tool
async def stray() -> str:
    async def later() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            strays.append("cancelled")
            raise

    asyncio.create_task(later())
    await asyncio.sleep(0)
    return "done"


@tool
async def unending_stray() -> str:
    async def later() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    asyncio.create_task(later())
    await asyncio.sleep(0)
    return "done"


@tool
def closes_everything(reuse: bool) -> None:
    os.closerange(3, 256)
    files = [os.open("/dev/null", os.O_WRONLY) for _ in range(64 * reuse)]
    threading.Event().wait()


@tool
def found_strays() -> list[str]:
    return strays


@tool
def where() -> dict[str, object]:
    context = current()
    before = left.get()
    left.set("something")
    context.heartbeat({"done": 1})
    return {
        "run": context.run_id, "step": context.step, "attempt": context.attempt, "key": context.idempotency_key,
        "main": threading.current_thread() is threading.main_thread(), "left": before,
    }


@tool
def fail(kind: str):
    if kind == "plain":
        raise NotFound("no such otter")
    if kind == "fatal":
        raise Fatal("give up")
    if kind == "later":
        raise RetryAfter(2.5)
    if kind == "broken":
        raise Broken
    if kind == "long":
        raise ValueError("x" * 1_000_000)
    if kind == "surrogate":
        raise ValueError("\\ud800")
    if kind == "recursion":
        return fail.fn(kind)
    if kind == "memory":
        hoard = []
        while True:
            hoard.append(bytearray(8 << 20))
    if kind == "unserialisable":
        return object()
    if kind == "huge":
        return "x" * (17 << 20)
    if kind == "exit":
        sys.exit(7)
    if kind == "words":
        sys.exit("these were my last words")
    if kind == "base":
        raise BaseException("beyond")
    return None


@tool
async def async_exit() -> None:
    sys.exit(5)


@tool
async def cancels_itself() -> None:
    raise asyncio.CancelledError


@tool
def leaves_a_process() -> int:
    script = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(3600)"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    return int(child.stdout.readline())


@tool
def wait_for_ever() -> None:
    current().heartbeat("waiting")
    time.sleep(3600)


@tool
def hold_the_interpreter(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))


@evaluator
def concise(items: list[Item]) -> Score:
    return Score(1.0 if len(items) < 3 else 0.2, reason=f"{len(items)} items", label="size")


@evaluator
async def knows_the_prompt(text: str, arguments: dict) -> bool:
    return arguments["args"][0] in text


@evaluator
def breaks(text: str) -> float:
    return {"a": 0.5, "b": 7.0}[text]
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "app.py"
    path.write_text(dedent(APP))
    return path


@pytest.fixture(scope="module")
def shared(app: Path) -> Iterator[Worker]:
    """A tool worker for tests that leave it alive."""
    worker = Worker(str(app), "tool")
    assert isinstance(worker.receive(), Ready)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def judge(app: Path) -> Iterator[Worker]:
    worker = Worker(str(app), "evaluator")
    assert isinstance(worker.receive(), Ready)
    yield worker
    worker.close()


StartWorker = Callable[..., Worker]

# ---------------------------------------------------------------- tools


def test_a_tool_gets_values_and_gives_json(shared: Worker) -> None:
    answer = shared.call("app:echo", {"name": "a", "due": "2024-02-29"}, 1, loud=True)
    assert isinstance(answer, Completed)
    assert answer.token == "1:1"
    assert answer.result == [{"name": "A", "due": "2024-02-29"}] * 2
    assert 0 < answer.duration < 20


def test_an_async_tool_is_awaited(shared: Worker) -> None:
    assert shared.call("app:slow", 0).result == "slept"


def test_a_tool_knows_its_attempt_and_reports_progress_from_the_main_thread(shared: Worker) -> None:
    for _ in range(2):
        assert shared.call("app:where") == Progress(token="1:1", detail={"done": 1})
        assert shared.receive().result == {
            "run": "run-1",
            "step": "app:where#1",
            "attempt": 1,
            "key": "run-1/app:where#1",
            "main": True,
            "left": "nothing",
        }


def test_an_exception_is_told_with_its_classes_and_the_users_frames(shared: Worker) -> None:
    answer = shared.call("app:fail", "plain")
    assert isinstance(answer, Failed)
    failure = answer.failure
    assert (failure.outcome, failure.type, failure.message) == ("error", "NotFound", "no such otter")
    assert failure.classes == (
        "app.NotFound",
        "builtins.LookupError",
        "builtins.Exception",
        "builtins.BaseException",
    )
    assert (failure.fatal, failure.retry_after) == (False, None)
    assert failure.traceback.count("File ") == 1
    assert 'raise NotFound("no such otter")' in failure.traceback


def test_a_step_can_say_never_again_or_later(shared: Worker) -> None:
    assert shared.call("app:fail", "fatal").failure.fatal is True
    assert shared.call("app:fail", "later").failure.retry_after == 2.5


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("broken", "its text cannot be made, that raises RuntimeError"),
        ("long", "x" * 16 * 1024),
        ("surrogate", "?"),
    ],
)
def test_an_exception_with_an_impossible_text_is_still_told(shared: Worker, kind: str, message: str) -> None:
    assert shared.call("app:fail", kind).failure.message == message


def test_endless_recursion_is_an_ordinary_failure(shared: Worker) -> None:
    failure = shared.call("app:fail", "recursion").failure
    assert failure.type == "RecursionError"
    assert len(failure.traceback) < 20_000


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("unserialisable", "the result of tool `fail` cannot be written as JSON: .*object"),
        ("huge", "the result cannot be sent: a message of .* bytes is over the limit"),
    ],
)
def test_a_result_that_cannot_be_sent_fails_for_good(shared: Worker, kind: str, reason: str) -> None:
    failure = shared.call("app:fail", kind).failure
    assert (failure.type, failure.fatal) == ("NotSerializable", True)
    assert re.match(reason, failure.message)


def test_arguments_that_do_not_fit_fail_for_good_and_are_named(shared: Worker) -> None:
    failure = shared.call("app:echo", {"due": "soon"}, "one").failure
    assert (failure.outcome, failure.type, failure.fatal) == ("error", "InvalidInput", True)
    assert "item.name: Field required; item.due: Input should be" in failure.message
    assert "more: Input should be a valid integer" in failure.message


def test_a_step_that_the_app_does_not_have_fails_for_good(shared: Worker) -> None:
    failure = shared.call("app:ecco", 1).failure
    assert (failure.type, failure.fatal) == ("DefinitionError", True)
    assert "did you mean `app:echo`?" in failure.message


def test_memory_that_runs_out_is_an_ordinary_failure(start_worker: StartWorker, app: Path) -> None:
    worker = start_worker(app)
    worker.receive()
    used = psutil.Process(worker.process.pid).memory_info().data
    psutil.Process(worker.process.pid).rlimit(psutil.RLIMIT_DATA, (used + (256 << 20), used + (256 << 20)))
    for _ in range(3):
        failure = worker.call("app:fail", "memory").failure
        assert (failure.outcome, failure.type) == ("error", "MemoryError")
    assert worker.call("app:slow", 0).result == "slept"


def test_what_a_step_started_is_gone_before_its_answer_is_sent(shared: Worker) -> None:
    answer = shared.call("app:leaves_a_process")
    assert not psutil.pid_exists(answer.result)


def test_a_task_that_an_async_tool_left_is_cancelled_with_it(shared: Worker) -> None:
    assert shared.call("app:stray").result == "done"
    assert shared.call("app:found_strays").result == ["cancelled"]


def test_a_task_that_will_not_be_cancelled_does_not_keep_its_tool(shared: Worker) -> None:
    assert shared.call("app:unending_stray").result == "done"
    assert shared.call("app:slow", 0).result == "slept"


# ---------------------------------------------------------------- aborting


def test_an_async_tool_hears_that_nobody_waits_for_it(shared: Worker) -> None:
    shared.send(execute("app:slow", 3600, token="1:7"), abort("1:6"), abort("1:7"))
    answer = shared.receive()
    assert isinstance(answer, Failed)
    assert (answer.token, answer.failure.outcome) == ("1:7", "cancelled")
    assert shared.call("app:slow", 0).result == "slept"


def test_an_abort_that_comes_while_an_async_tool_runs_is_heard(shared: Worker) -> None:
    shared.send(execute("app:slow", 3600, token="1:8"))
    eventually(lambda: psutil.Process(shared.process.pid).status() == "sleeping")
    shared.send(abort("1:8"))
    assert shared.receive().failure.outcome == "cancelled"


def test_an_abort_of_what_has_ended_changes_nothing(shared: Worker) -> None:
    assert shared.call("app:slow", 0).result == "slept"
    shared.send(abort("1:1"))
    assert shared.call("app:slow", 0).result == "slept"


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("step", "arguments", "code", "words"),
    [
        ("app:fail", ["exit"], 7, ""),
        ("app:fail", ["words"], 1, "these were my last words"),
        ("app:fail", ["base"], 1, "BaseException: beyond"),
        ("app:async_exit", [], 5, ""),
        ("app:cancels_itself", [], 1, "CancelledError"),
    ],
)
def test_what_is_no_exception_ends_the_process_and_sends_nothing(
    start_worker: StartWorker, app: Path, step: str, arguments: list[Any], code: int, words: str
) -> None:
    worker = start_worker(app)
    worker.receive()
    worker.send(execute(step, *arguments))
    assert worker.wait() == code
    assert words in worker.stderr()
    with pytest.raises(AssertionError, match="the worker has gone"):
        worker.receive()


@pytest.mark.parametrize("reuse", [False, True])
def test_a_worker_whose_code_closes_its_socket_ends_and_says_why(
    start_worker: StartWorker, app: Path, reuse: bool
) -> None:
    worker = start_worker(app, heartbeat=0.05)
    worker.receive()
    worker.send(execute("app:closes_everything", reuse))
    assert worker.wait() == 76
    assert "has closed the socket to its orchestrator" in worker.stderr()


def test_a_stop_lets_what_is_running_finish(start_worker: StartWorker, app: Path) -> None:
    worker = start_worker(app)
    worker.receive()
    worker.send(execute("app:slow", 0.05), STOP)
    assert worker.receive().result == "slept"
    assert worker.wait() == 0


@pytest.mark.parametrize("step", [None, "app:wait_for_ever", "app:slow"])
def test_a_worker_ends_with_its_orchestrator_whatever_it_is_doing(
    start_worker: StartWorker, app: Path, step: str | None
) -> None:
    worker = start_worker(app)
    worker.receive()
    if step == "app:wait_for_ever":
        assert isinstance(worker.call(step), Progress)
    elif step is not None:
        worker.send(execute(step, 3600))
    worker.hang_up()
    assert worker.wait() == 0


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00\x00\x02\x63{}", HEADER.pack(2, SCHEMA_VERSION) + b"{}", HEADER.pack(1 << 31, SCHEMA_VERSION)],
)
def test_bytes_that_are_no_message_end_the_process_with_a_sentence(
    start_worker: StartWorker, app: Path, data: bytes
) -> None:
    worker = start_worker(app)
    worker.receive()
    worker.send_bytes(data)
    assert worker.wait() == os.EX_PROTOCOL
    assert "the orchestrator sent what is not a message" in worker.stderr()


def test_a_frame_may_arrive_in_pieces(shared: Worker) -> None:
    frame = TO_WORKER.encode(execute("app:slow", 0))
    for byte in frame:
        shared.send_bytes(bytes([byte]))
    assert shared.receive().result == "slept"


def test_a_worker_beats_while_a_tool_is_busy(start_worker: StartWorker, app: Path) -> None:
    worker = start_worker(app, heartbeat=0.01)
    worker.receive()
    worker.send(execute("app:hold_the_interpreter", 0.5))
    worker.receive()
    assert worker.heartbeats >= 3
    worker.wait_for_heartbeats(worker.heartbeats + 3)


# ---------------------------------------------------------------- evaluators


def test_a_result_is_judged_as_the_value_it_stands_for(judge: Worker) -> None:
    judge.send(evaluate("app:concise", [{"name": "a"}]))
    verdict = judge.receive()
    assert isinstance(verdict, Judged)
    assert (verdict.score, verdict.reason, verdict.label) == (1.0, "1 items", "size")
    judge.send(evaluate("app:concise", [{"name": "a"}] * 3))
    assert judge.receive().score == 0.2


def test_an_evaluator_may_look_at_the_arguments(judge: Worker) -> None:
    judge.send(evaluate("app:knows_the_prompt", "an answer to a prompt"))
    assert judge.receive().score == 1.0


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        ("x", r"KeyError: 'x' \(.*/app\.py:\d+\)"),
        ("b", r"ValueError: a score lies between 0\.0 and 1\.0, not at 7\.0"),
        (3, "InvalidInput: argument `text` of evaluator `breaks` does not fit str: Input should be a valid string"),
    ],
)
def test_a_broken_evaluator_gives_no_score_and_says_why(judge: Worker, subject: Any, error: str) -> None:
    judge.send(evaluate("app:breaks", subject))
    verdict = judge.receive()
    assert verdict.score is None
    assert re.fullmatch(error, verdict.failure.told())


def test_an_evaluator_that_a_workflow_awaits_gives_its_score_as_json(judge: Worker) -> None:
    answer = judge.call("app:breaks", "a")
    assert answer.result == {"value": 0.5, "reason": "", "label": None}
