"""What ``import greenroom`` costs and gives, and what type checkers see of a user's script."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import greenroom
from greenroom.messages.core.errors import GreenroomError
from tests.support import ROOT

SCRIPT = '''
import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Literal, assert_type

from pydantic import BaseModel

from greenroom import (
    LLM,
    AsyncClient,
    AsyncOrchestrator,
    AsyncRun,
    AsyncSchedule,
    Budget,
    Client,
    EvaluatorFailure,
    Fatal,
    Judge,
    McpTool,
    MockModel,
    Orchestrator,
    Pairwise,
    Panel,
    Person,
    Pool,
    Retry,
    RetryAfter,
    Rule,
    Score,
    Step,
    StepFailed,
    Workflow,
    current,
    evaluator,
    mcp,
    session,
    sleep,
    tool,
    workflow,
)


class Brief(BaseModel):
    title: str
    bullets: list[str]


class Progress(BaseModel):
    done: int = 0


class Request(BaseModel):
    topic: str


@tool
def search(query: str, limit: int = 3) -> list[str]:
    """Find things."""
    current().heartbeat({"done": 1})
    return [query] * limit


@tool(timeout=10, retry=Retry(attempts=5, on=(ValueError,)), memory_mb=512, once=True)
async def fetch(url: str) -> bytes:
    if url == "a":
        raise RetryAfter(2)
    raise Fatal(current().idempotency_key)


@evaluator
def concise(brief: Brief) -> Score:
    return Score(1.0 if len(brief.bullets) <= 5 else 0.4, reason="at most five bullets")


@evaluator(timeout=5)
async def short(brief: Brief) -> bool:
    return len(brief.title) < 80


@evaluator
def graded(brief: Brief) -> float:
    return 0.5


writer = LLM("writer", output=Brief, accept=[concise, short, graded], threshold=0.8, on_reject="retry")
plain = LLM("plain", model=MockModel(seed=7, latency=0.01), settings={"temperature": 0})
tone = Judge("tone", rubric="It is kind.", model="mock", threshold=0.8)
jury = Panel("jury", [tone, concise, Rule.length(most=3, at="bullets")], weights=[2, 1, 1])
judged = LLM("judged", accept=[tone, jury, Rule.contains("otters")])
better = Pairwise("better", rubric="It is kinder.")
editor = Person("editor", question="Is it right?")
files = mcp("files", command=["server"], env=["HOME"], start_timeout=timedelta(seconds=5), retry_calls={"read"})
remote = mcp("remote", url="https://tools.example/mcp", headers={"Authorization": "Bearer $TOKEN"}, retry_calls=True)
listing = LLM("listing", output=list[int], model="mock")


@workflow
async def research(topic: str) -> Brief:
    hits = await search(topic)
    assert_type(hits, list[str])
    try:
        assert_type(await fetch.options(timeout=None, key="eu")("a"), bytes)
    except StepFailed as error:
        assert_type(error.attempts, int)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(search(topic, limit=1))
    assert_type(task.result(), list[str])
    first, second = await asyncio.gather(search("a"), writer("b"))
    assert_type(first, list[str])
    assert_type(second, Brief)
    assert_type(await concise(second), Score)
    assert_type(await short(second), Score)
    assert_type(await graded(second), Score)
    assert_type(await plain("c"), str)
    try:
        assert_type(await tone(second), Score)
        assert_type(await jury(second, {"expected": first}), Score)
        assert_type(await better(first, second), Score)
        assert_type(await editor(second), Score)
    except EvaluatorFailure as failure:
        assert_type(failure.outcome, str)
    assert_type(await listing("d"), list[int])
    assert_type(await files.tools(), tuple[McpTool, ...])
    assert_type(await files.call("read", path="a", tool=1), Any)
    first_tool, *_ = await remote.tools()
    assert_type(await first_tool(path="a"), Any)
    await sleep(1.5)
    await sleep(timedelta(minutes=1))
    return second


patient = Retry(attempts=5, initial=timedelta(seconds=1), max_delay=timedelta(hours=1), within=timedelta(days=1))
day = Budget(wall=timedelta(days=1), usd=1)
quick = tool(timeout=timedelta(seconds=5), retry=patient)(len)
pool = Pool(size=2, within=timedelta(minutes=1), idle_after=60)
Retry(initial="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Budget(wal=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Pool(sizes=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@workflow(name="stateful one")
async def stateful(state: Progress, topic: str, n: int = 1) -> Literal["done"]:
    state.done += n
    return "done"


@workflow
async def requested(request: Request) -> int:
    assert_type(await stateful("a", n=2), Literal["done"])
    assert_type(await research("a"), Brief)
    return 1


call: Coroutine[Any, Any, list[str]] = search("a")
state: Coroutine[Any, Any, Literal["done"]] = stateful("a")
assert_type(search.fn("a"), Any)
one: Step[[str], bytes] = fetch
two: Workflow[[Request], int] = requested
three: Step[[str], Brief] = writer

search(1)  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
search("a", limt=1)  # type: ignore[call-arg, unused-coroutine]  # pyright: ignore[reportCallIssue]
stateful(Progress(), "a")  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
writer(3)  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
search("a")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
requested("a")  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
LLM("x", accept=[search])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
LLM("x", accept=[better])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
LLM("x", on_reject="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
search.options(tries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def main() -> None:
    with Orchestrator("runs.db", pools={"tool": Pool(size=2, memory_mb=64)}) as orchestrator:
        run = orchestrator.start(research, "otters", id="brief-otters")
        assert_type(run.result(timeout=60), Brief)
        assert_type(run.result(timeout=timedelta(minutes=1)), Brief)
        assert_type(run.record.started_at, datetime)
        assert_type(orchestrator.start(stateful, "otters", n=3).result(), Literal["done"])
    with Client("http://127.0.0.1:7878", token="secret") as client:
        assert_type(client.start(research, "otters").result(), Brief)


@session(state=Progress)
async def chat(state: Progress, message: Request) -> Brief:
    return await research(message.topic)


async def asynchronous() -> None:
    async with Orchestrator("runs.db") as orchestrator:
        assert_type(orchestrator, AsyncOrchestrator)
        run = await orchestrator.start(research, "otters", id="brief-otters")
        assert_type(run, AsyncRun[Brief])
        assert_type(await run, Brief)
        assert_type(await run.result(timeout=timedelta(minutes=1)), Brief)
        assert_type(await (await run.fork()), Brief)
        assert_type((await run.steps())[0].name, str)
        assert_type(await run.cancel("enough", within=5), None)
        assert_type((await orchestrator.runs("failed", limit=3))[0].started_at, datetime)
        assert_type((await orchestrator.runs()).next, str | None)
        assert_type(orchestrator.plain.runs(["failed", "parked"])[0].started_at, datetime)
        await run.cancel(withn=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await orchestrator.kill(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        orchestrator.plain.sessions(limt=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        assert_type((await run.record).started_at, datetime)
        async for event in run.events(follow=True):
            assert_type(event.seq, int)
        async for item in run.stream(follow=True):
            assert_type(item.offset, int)
        talk = orchestrator.session(chat, "ada")
        assert_type(await talk.ask(Request(topic="otters"), timeout=60), Brief)
        assert_type(await talk.state, Progress)
        nightly = await orchestrator.schedule("nightly", research, "otters", every=timedelta(days=1))
        assert_type(nightly, AsyncSchedule[Brief])
        assert_type(await (await nightly.trigger()), Brief)
        assert_type(await orchestrator.plain.start(research, "otters"), Brief)
        async for event in orchestrator.plain.start(research, "otters").events(follow=True):
            assert_type(event.seq, int)
        assert_type(await orchestrator.plain.session(chat, "ada").aio.ask(Request(topic="otters")), Brief)
        await talk.ask(Progress())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await orchestrator.start(search, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with Client("http://127.0.0.1:7878", token="secret") as client:
        assert_type(client, AsyncClient)
        assert_type(await (await client.start(research, "otters")), Brief)
'''


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("user") / "script.py"
    path.write_text(dedent(SCRIPT))
    return path


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_every_public_name_is_there() -> None:
    for name in greenroom.__all__:
        assert getattr(greenroom, name) is not None, name
    assert sorted(greenroom.__all__) == sorted(set(greenroom.__all__))
    assert set(greenroom.__all__) <= set(dir(greenroom))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'greenroom' has no attribute 'nothing'"):
        _ = greenroom.nothing


def test_every_error_that_a_user_can_catch_has_one_root() -> None:
    errors = [
        value
        for value in (getattr(greenroom, name) for name in greenroom.__all__)
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert len(errors) > 15
    assert all(issubclass(error, GreenroomError) for error in errors)


def test_importing_the_package_loads_nothing_heavy() -> None:
    done = python(
        "-c",
        "import time; start = time.process_time(); import greenroom; seconds = time.process_time() - start; "
        "import sys, json; print(json.dumps([seconds, [name for name in sys.modules]]))",
    )
    assert done.returncode == 0, done.stderr
    seconds, modules = json.loads(done.stdout)
    heavy = {"pydantic", "pykka", "apsw", "loguru", "psutil", "asyncio", "click", "rich"}
    assert not heavy & set(modules)
    assert [name for name in modules if name.startswith("greenroom")] == [
        "greenroom.version",
        "greenroom",
    ] or seconds < 0.05
    assert seconds < 0.05


def test_writing_a_workflow_loads_nothing_of_the_orchestrator() -> None:
    done = python("-c", "import sys; from greenroom import LLM, tool, workflow; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not {"greenroom.workflows.api.orchestrator", "greenroom.supervision", "apsw", "loguru", "psutil"} & loaded


def test_everything_can_be_imported_where_no_extra_is_installed() -> None:
    done = python(
        "-c",
        "import sys; sys.modules.update(httpx=None, openai=None, mcp=None); from greenroom import *; print(Client)",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "client.Client" in done.stdout


def test_opening_an_orchestrator_loads_nothing_that_only_a_few_need(tmp_path: Path) -> None:
    script = "import sys; from greenroom import Orchestrator; Orchestrator('runs.db').close(); print(*sys.modules)"
    done = python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rare = {"async_orchestrator", "handles.async_run", "handles.async_session", "handles.async_schedule", "client"}
    names = {f"greenroom.workflows.api.{name}" for name in rare}
    assert not {*names, "greenroom.metrics.figures", "httpx", "tomllib", "rich", "click"} & set(done.stdout.split())


@pytest.mark.timeout(180)
def test_mypy_sees_real_signatures_in_a_users_script(script: Path) -> None:
    done = python(
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        "--cache-dir",
        str(script.parent / "cache"),
        str(script),
    )
    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_pyright_sees_real_signatures_in_a_users_script(script: Path) -> None:
    settings = {
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
        "extraPaths": [str(ROOT)],
        "include": [script.name],
    }
    (script.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    done = python("-m", "pyright", "--pythonpath", sys.executable, cwd=script.parent)
    assert done.stdout.endswith("0 errors, 0 warnings, 0 informations\n"), done.stdout + done.stderr


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_the_first_import_on_another_system_says_in_one_sentence_how_to_get_linux(system: str) -> None:
    code = f"import sys; sys.platform = {system!r}; import greenroom"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("ImportError: greenroom needs Linux: ")
    assert "docker build -f Containerfile" in last
    assert "WSL 2" in last
    assert (ROOT / "Containerfile").is_file()
