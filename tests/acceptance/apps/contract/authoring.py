"""What authors write, one workflow per promise."""

import asyncio
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel

from greenroom import (
    Fatal,
    OutcomeUnknown,
    Retry,
    RetryAfter,
    RunFailed,
    StepFailed,
    current,
    run,
    sleep,
    tool,
    workflow,
)
from tests.acceptance.apps.effects import append, effect

ONCE_ONLY = Retry(attempts=1)
QUICK = Retry(attempts=4, initial=0.05, jitter=0.0)


class Point(BaseModel):
    """A value that is more than a number."""

    x: int
    y: int = 0


# ---------------------------------------------------------------- control flow


@tool
def double(number: int) -> int:
    return number * 2


@tool
async def move(point: Point, by: int = 1) -> Point:
    """An asynchronous tool with a model on both sides."""
    await asyncio.sleep(0)
    return Point(x=point.x + by, y=point.y)


@tool(retry=ONCE_ONLY, timeout=60)
async def linger(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "lingered"


@tool(timeout=60)
def wait_for(path: str) -> str:
    """Wait until a file is there."""
    while not Path(path).exists():
        time.sleep(0.005)
    return Path(path).read_text()


@workflow
async def sequential(number: int) -> list[int]:
    found = [number]
    for _ in range(3):
        found.append(await double(found[-1]))
    return found


@workflow
async def models(point: Point) -> Point:
    if point.x < 10:
        point = await move(point, by=5)
    return await move(point)


@workflow
async def gathered(count: int) -> list[int]:
    return list(await asyncio.gather(*(double(number) for number in range(count))))


@workflow
async def grouped(count: int) -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sequential_in_task(number)) for number in range(count)]
    return [task.result() for task in tasks]


async def sequential_in_task(number: int) -> int:
    """A helper without a decorator is plain Python in the workflow."""
    return await double(await double(number))


@workflow
async def group_with_failure() -> str:
    """One branch fails: the group cancels the other, and the workflow catches both."""
    caught = 0
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(linger(60))
            group.create_task(fail_for_good("branch"))
    except* StepFailed as failed:
        caught = len(failed.exceptions)
    return f"caught {caught}"


@workflow
async def timed_out(seconds: float) -> str:
    await double(1)  # so that a worker is there, and the step below begins before its time is over
    try:
        async with asyncio.timeout(seconds):
            return await linger(60)
    except TimeoutError:
        return f"gave up, then {await double(21)}"


@workflow
async def within_time() -> str:
    async with asyncio.timeout(30):
        return await linger(0.01)


@workflow
async def rested(seconds: float) -> int:
    await sleep(seconds)
    return await double(1)


@workflow
async def renamed() -> list[int]:
    quick = double.options(name="quick", key="eu", timeout=5, retry=ONCE_ONLY)
    return [await quick(1), await double(2)]


@workflow
async def branching(number: int) -> str:
    """`if`, `for`, `try`, and what `current` is not: a workflow is not a step."""
    total = 0
    for item in range(number):
        if item % 2:
            total += await double(item)
    try:
        current()
    except RuntimeError:
        return f"{total}"
    return "current() gave something"


class Colour(Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Parcel:
    """Values of many types: what one process sends is what the other gets."""

    at: datetime
    id: UUID
    price: Decimal
    colours: frozenset[Colour]
    raw: bytes
    size: tuple[int, float]
    where: Path
    takes: timedelta
    inner: dict[str, list[Point]]
    maybe: int | None = None


@tool
def inspect(parcel: Parcel, *, note: str = "none", extra: Colour | None = None) -> tuple[Parcel, str]:
    """Look at what arrived: it must have its types, not their JSON."""
    assert isinstance(parcel.at, datetime)
    assert isinstance(parcel.colours, frozenset)
    assert isinstance(parcel.inner["a"][0], Point)
    return parcel, f"{type(parcel.price).__name__} {note} {extra.name if extra else 'no'}"


@workflow
async def shipped(parcel: Parcel, note: str = "workflow") -> tuple[Parcel, list[str]]:
    first, said = await inspect(parcel, note=note)
    second, again = await inspect(first, extra=Colour.BLUE)
    return second, [said, again]


@tool
def report_progress(times: int) -> int:
    """Say how far it is, often."""
    for number in range(times):
        current().heartbeat({"done": number, "of": times})
    return times


@workflow
async def reporting(times: int) -> int:
    return await report_progress(times) + await report_progress(1)


# ---------------------------------------------------------------- failing and trying again


@tool(retry=Retry(attempts=4, initial=0.2, factor=2.0, jitter=0.0))
def flaky(log: str, failures: int) -> int:
    """Fail so many times, then say which attempt this is."""
    effect(log, "flaky", at=time.time())
    if current().attempt <= failures:
        message = f"attempt {current().attempt} was not good enough"
        raise ValueError(message)
    return current().attempt


@workflow
async def flaky_once(log: str, failures: int) -> int:
    return await flaky(log, failures)


@tool(retry=Retry(attempts=3, initial=3.0, factor=1.0, jitter=0.0))
def slow_to_retry(log: str) -> int:
    effect(log, "slow_to_retry", at=time.time())
    raise ValueError("always")


@workflow
async def backing_off(log: str) -> int:
    return await slow_to_retry(log)


@tool(retry=Retry(attempts=9, initial=0.01, never=(KeyError,)))
def wrong_key(log: str) -> None:
    effect(log, "wrong_key")
    raise KeyError("colour")


@tool(retry=Retry(attempts=9, initial=0.01, on=(ConnectionError,)))
def wrong_kind(log: str) -> None:
    effect(log, "wrong_kind")
    raise ValueError("no connection error")


@workflow
async def never_again(log: str, which: str) -> None:
    await (wrong_key(log) if which == "never" else wrong_kind(log))


@tool(retry=Retry(attempts=9, initial=0.01))
def fail_for_good(why: str) -> None:
    raise Fatal(why)


@workflow
async def hopeless() -> None:
    await fail_for_good("no such account")


@tool(retry=Retry(attempts=3, initial=0.01, jitter=0.0))
def told_to_wait() -> int:
    if current().attempt == 1:
        raise RetryAfter(1.0, "slow down")
    return current().attempt


@workflow
async def patient() -> int:
    return await told_to_wait()


@tool(once=True)
def pay(log: str, fault: str) -> str:
    """Have an effect, then maybe come to grief: it must not be had twice."""
    effect(log, "paid")
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "raise":
        raise ValueError("declined")
    return "receipt"


@workflow
async def careful(log: str, fault: str) -> str:
    try:
        return await pay(log, fault)
    except OutcomeUnknown as unknown:
        return f"unknown after {unknown.attempts}"
    except StepFailed as failed:
        return f"{failed.error} after {failed.attempts}"


@tool(once=True, timeout=60)
def pay_and_wait(log: str, gate: str) -> str:
    effect(log, "paid")
    while not Path(gate).exists():
        time.sleep(0.005)
    return "receipt"


@workflow
async def careful_across_restart(log: str, gate: str) -> str:
    try:
        return await pay_and_wait(log, gate)
    except OutcomeUnknown:
        return "unknown"


@workflow
async def caught() -> dict[str, str | int]:
    try:
        await fail_for_good("no such account")
    except StepFailed as failed:
        return {
            "step": failed.step,
            "attempts": failed.attempts,
            "outcome": failed.outcome,
            "error": failed.error,
            "text": str(failed),
        }
    return {}


@workflow
async def own_fault() -> None:
    await double(1)
    raise LookupError("the workflow's own code raised")


@tool(retry=QUICK, crash_attempts=3)
def poison(log: str) -> None:
    effect(log, "poison")
    os._exit(7)


@workflow
async def poisoned(log: str) -> None:
    await poison(log)


@tool(retry=ONCE_ONLY)
def same_key(_log: str) -> str:
    return current().idempotency_key


@tool(retry=Retry(attempts=3, initial=0.01))
def keys_of_attempts(log: str) -> str:
    effect(log, "key", key=current().idempotency_key)
    if current().attempt < 3:
        raise ValueError("again")
    return current().idempotency_key


@workflow
async def keyed(log: str) -> list[str]:
    return [await keys_of_attempts(log), await same_key(log)]


# ---------------------------------------------------------------- overrunning


def spin() -> None:
    while True:
        pass


def spin_in_c() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def wait_in_subprocess() -> None:
    subprocess.run(["sleep", "600"], check=False)


def sleep_long() -> None:
    time.sleep(600)


def refuse_to_die() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(600)
        except BaseException:  # noqa: BLE001  the worst case
            continue


ENDLESS = {task.__name__: task for task in (spin, spin_in_c, wait_in_subprocess, sleep_long, refuse_to_die)}


@tool(timeout=0.7, retry=ONCE_ONLY)
def overrun(how: str, log: str) -> None:
    effect(log, "overrun")
    ENDLESS[how]()


@tool(timeout=0.7, retry=ONCE_ONLY)
async def overrun_asleep(log: str) -> None:
    effect(log, "overrun")
    await asyncio.sleep(600)


@workflow
async def overrunning(how: str, log: str) -> str:
    try:
        await (overrun_asleep(log) if how == "asleep" else overrun(how, log))
    except StepFailed as failed:
        return f"{failed.outcome} after {failed.attempts}, then {await double(2)}"
    return "it ended"


# ---------------------------------------------------------------- children


@workflow
async def child(number: int) -> int:
    return await double(number)


@workflow
async def failing_child() -> None:
    await fail_for_good("child")


@workflow
async def parent(number: int) -> list[int]:
    first = await child(number)
    second = await run(child, first)
    return [first, second, *await asyncio.gather(child(10), child(20))]


@workflow
async def parent_of_failure() -> str:
    try:
        await failing_child()
    except RunFailed as failed:
        outcomes = [attempt.outcome for attempt in failed.attempts]
        return f"{failed.run_id} at {failed.step} {outcomes}: {failed}"
    return "it worked"


@workflow
async def parent_that_waits(log: str) -> None:
    await waiting_child(log)


@workflow
async def waiting_child(log: str) -> None:
    try:
        await sleep(600)
    finally:
        await note(log, "child cleaned up")


@tool
def note(log: str, text: str) -> None:
    append(log, text)


# ---------------------------------------------------------------- limits


@tool(memory_mb=256, retry=ONCE_ONLY)
def hoard(megabytes: int) -> int:
    return len(bytearray(megabytes * 1024 * 1024)) // (1024 * 1024)


@workflow
async def hoarding(megabytes: int) -> str:
    try:
        return f"{await hoard(megabytes)} MiB"
    except StepFailed as failed:
        return failed.error


@tool
def chatter(lines: int) -> int:
    """Write far more than any pipe holds."""
    for number in range(lines):
        print(f"line {number} of a great many that nobody reads")
    return lines


@workflow
async def chatting(lines: int) -> int:
    return await chatter(lines)
