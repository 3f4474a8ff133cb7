"""Code that does what no code should: in workflows, tools, models and evaluators."""

import asyncio
import gc
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from greenroom import LLM, MockModel, Retry, Score, StepFailed, current, evaluator, sleep, tool, workflow
from greenroom.actors import context
from greenroom.actors.api.step_context import running
from greenroom.actors.worker.channel import Channel
from greenroom.actors.worker.program_host import ProgramHost
from greenroom.messages.codecs.codec import HEADER, SCHEMA_VERSION
from greenroom.messages.frames.worker import Turn
from tests.acceptance.apps.effects import append

QUICK = Retry(attempts=4, initial=0.02, jitter=0.0)
ONCE_ONLY = Retry(attempts=1)


def first_time(folder: str, name: str = "done-it") -> bool:
    """Say whether nobody has been here before."""
    marker = Path(folder, name)
    if marker.exists():
        return False
    marker.touch()
    return True


@tool(retry=QUICK)
def double(number: int) -> int:
    return number * 2


# ---------------------------------------------------------------- in a tool


def raise_exit() -> None:
    sys.exit(4)


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def raise_cancelled() -> None:
    raise asyncio.CancelledError


def raise_base() -> None:
    class Odd(BaseException):
        """Neither an Exception nor anything known."""

    raise Odd("odd")


def overflow_the_stack() -> None:
    class Nested:
        def __repr__(self) -> str:
            return repr(self)

    sys.setrecursionlimit(10**9)
    repr(Nested())


def abort() -> None:
    os.abort()


def close_everything() -> None:
    os.closerange(3, 4096)


def talk_on_every_descriptor() -> None:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue


def kill_the_group() -> None:
    os.killpg(0, signal.SIGKILL)


def kill_the_parent() -> None:
    """Take the process that forks the workers down; this one goes with it."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


TOOL_FAULTS = {
    fault.__name__: fault
    for fault in (
        raise_exit,
        raise_interrupt,
        raise_cancelled,
        raise_base,
        overflow_the_stack,
        abort,
        close_everything,
        talk_on_every_descriptor,
        kill_the_group,
        kill_the_parent,
    )
}


@tool(retry=QUICK, timeout=30)
def misbehave(fault: str, folder: str) -> str:
    if first_time(folder):
        TOOL_FAULTS[fault]()
        return "survived"
    return "recovered"


@workflow
async def with_tool_fault(fault: str, folder: str) -> str:
    return await misbehave(fault, folder)


@tool(retry=QUICK, timeout=5)
def fork_and_return(number: int) -> int:
    """Both processes return from here, each with an answer of its own."""
    return number if os.fork() else -number


@workflow
async def forking(number: int) -> list[int]:
    return [await fork_and_return(number), await double(number), await fork_and_return(number)]


@workflow
async def forking_program(number: int) -> int:
    """Both processes go on with the workflow."""
    first = await double(number)
    os.fork()
    return await double(first)


@tool(retry=QUICK)
def leave_a_thread() -> int:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return threading.active_count()


@workflow
async def threading_tool() -> int:
    await leave_a_thread()
    return await double(4)


@tool(retry=ONCE_ONLY)
def give(what: str) -> Any:
    values: dict[str, Any] = {
        "surrogate": "half \ud800 pair",
        "nul": "a\0b",
        "big integer": 2**70,
        "huge integer": 10**5000,
        "nan": float("nan"),
        "infinity": [1.0, float("inf")],
        "deep": _nested(400),
        "megabytes": "x" * (3 * 1024 * 1024),
        "too much": "x" * (80 * 1024 * 1024),
        "emoji": "🦦",
        "numbers": {"1": [1, 2.5, True, None]},
    }
    return values[what]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@workflow
async def given(what: str) -> Any:
    try:
        value = await give(what)
    except StepFailed as failed:
        return f"failed: {failed.outcome} {failed.error}"
    return value if len(str(value)) < 100 else len(value)


# ---------------------------------------------------------------- in a workflow


def loop_for_ever() -> None:
    while True:
        pass


def hold_the_gil() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def talk_without_end() -> None:
    """Send the beginning of a turn again and again."""
    (host,) = [each for each in gc.get_objects() if isinstance(each, ProgramHost)]
    program = context.program.get()
    assert program is not None
    while True:
        host._channel.send(Turn(run_id=program.run_id, more=True))


WORKFLOW_FAULTS = {
    "exit": lambda: os._exit(5),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "loop": loop_for_ever,
    "gil": hold_the_gil,
    "sys_exit": raise_exit,
    "talk": talk_without_end,
}


@workflow
async def bad_program(fault: str, folder: str, always: bool = False) -> list[int]:
    """Misbehave between two steps, in the workflow's own code."""
    first = await double(1)
    if always or first_time(folder, "program"):
        append(Path(folder, "deaths"), str(os.getpid()))
        WORKFLOW_FAULTS[fault]()
    return [first, await double(2)]


@workflow
async def good_program(number: int) -> int:
    total = 0
    for item in range(5):
        total += await double(number + item)
        await sleep(0.01)
    return total


# ---------------------------------------------------------------- in evaluators and models


@evaluator(retry=QUICK)
def deadly(_number: int) -> Score:
    os._exit(6)


@tool(accept=[deadly], retry=QUICK)
def judged_by_deadly() -> int:
    return 1


@workflow
async def with_deadly_evaluator() -> int:
    return await judged_by_deadly()


def send_forged(**fields: Any) -> None:
    """Send a message that is not the worker's own, about the attempt that runs."""
    (channel,) = [each for each in gc.get_objects() if isinstance(each, Channel)]
    step = running.get()
    assert step is not None
    body = json.dumps({"message": {"token": step.token, "duration": 0.1, **fields}}).encode()
    os.write(channel.fileno(), HEADER.pack(len(body), SCHEMA_VERSION) + body)


@evaluator(retry=QUICK)
def forging(fields: dict[str, Any]) -> Score:
    send_forged(type="judged", **fields)
    time.sleep(600)
    return Score(1.0)


@tool(accept=[forging], retry=QUICK)
def judged_by_forging(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


@workflow
async def with_forging_evaluator(fields: dict[str, Any]) -> dict[str, Any]:
    return await judged_by_forging(fields)


@tool(retry=QUICK, timeout=30)
def forge_failure(fields: dict[str, Any]) -> str:
    if current().attempt == 1:
        send_forged(type="failed", **fields)
        time.sleep(600)
    return "recovered"


@workflow
async def with_forging_tool(fields: dict[str, Any]) -> str:
    return await forge_failure(fields)


@evaluator(timeout=0.5)
def endless(_number: int) -> Score:
    time.sleep(600)
    return Score(1.0)


@tool(accept=[endless], retry=QUICK)
def judged_by_endless() -> int:
    return 1


@workflow
async def with_endless_evaluator() -> int:
    return await judged_by_endless()


class Hanging(MockModel):
    """A model that never answers some questions: it waits for ever, or holds everybody up."""

    async def complete(self, request: Any) -> Any:
        if request.attempt == 1 and "wait" in request.prompt:
            await asyncio.sleep(600)
        if request.attempt == 1 and "block" in request.prompt:
            time.sleep(600)  # noqa: ASYNC251  that is the fault
        return await super().complete(request)


slow = LLM("slow", retry=QUICK, timeout=0.7, model=Hanging(latency=0.05, replies=["an answer"]))


@workflow
async def with_hanging_model(prompt: str) -> str:
    return await slow(prompt)


class Deadly(MockModel):
    """A model whose client crashes the first time it is asked."""

    async def complete(self, request: Any) -> Any:
        if request.attempt == 1 and "die" in request.prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().complete(request)


fragile = LLM("fragile", retry=QUICK, model=Deadly(latency=0.05, replies=["an answer"]))


@workflow
async def with_deadly_model(prompt: str) -> str:
    return await fragile(prompt)


# ---------------------------------------------------------------- what asyncio offers


@tool(retry=QUICK)
def delayed(number: int, milliseconds: int) -> int:
    time.sleep(milliseconds / 1000)
    return number


@tool(retry=ONCE_ONLY)
def refuse(number: int) -> int:
    message = f"not {number}"
    raise ValueError(message)


@workflow
async def asyncio_zoo() -> dict[str, Any]:
    """Use what asyncio offers, with results that do not depend on who is first."""
    found: dict[str, Any] = {}
    both = await asyncio.gather(double(1), refuse(2), return_exceptions=True)
    found["gather"] = [both[0], type(both[1]).__name__]
    tasks = [asyncio.create_task(delayed(number, 5)) for number in range(4)]
    done, pending = await asyncio.wait(tasks)
    found["wait"] = [sorted(task.result() for task in done), len(pending)]
    found["as_completed"] = sorted([await task for task in asyncio.as_completed([delayed(n, n) for n in range(4)])])
    limit = asyncio.Semaphore(2)

    async def limited(number: int) -> int:
        async with limit:
            return await delayed(number, 3)

    found["semaphore"] = await asyncio.gather(*(limited(number) for number in range(5)))
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def produce() -> None:
        for number in range(3):
            await queue.put(await double(number))

    producer = asyncio.create_task(produce())
    found["queue"] = [await queue.get() for _ in range(3)]
    await producer
    event = asyncio.Event()
    waiter = asyncio.create_task(event.wait())
    asyncio.get_running_loop().call_later(0.02, event.set)
    await waiter
    found["shield"] = await asyncio.shield(double(7))
    found["wait_for"] = await asyncio.wait_for(double(8), 30)
    try:
        await asyncio.wait_for(delayed(9, 60_000), 0.05)
    except TimeoutError:
        found["late"] = True
    try:
        await asyncio.to_thread(time.sleep, 0)
    except RuntimeError as error:
        found["thread"] = "tool" in str(error)
    first, *_ = await asyncio.wait(
        [asyncio.create_task(delayed(1, 0)), asyncio.create_task(sleep(60))], return_when="FIRST_COMPLETED"
    )
    found["race"] = [task.result() for task in first]
    return found


ZOO = {
    "gather": [2, "StepFailed"],
    "wait": [[0, 1, 2, 3], 0],
    "as_completed": [0, 1, 2, 3],
    "semaphore": [0, 1, 2, 3, 4],
    "queue": [0, 2, 4],
    "shield": 14,
    "wait_for": 16,
    "late": True,
    "thread": True,
    "race": [1],
}


@tool(retry=QUICK)
def bulk(number: int, kilobytes: int) -> str:
    return f"{number:09d}" * (kilobytes * 1024 // 9)


@workflow
async def long_history(steps: int, kilobytes: int) -> int:
    """Gather so much that a restarted program cannot be told it in one frame."""
    total = 0
    for number in range(steps):
        total += len(await bulk(number, kilobytes))
    await sleep(0.5)
    return total + await double(1)
