"""Workflows that act on things in the order in which a set of tasks, or what is made of it, has them."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from greenroom import Retry, StepFailed, receive, sleep, tool, workflow
from tests.acceptance.apps.effects import append

MANY = 6
HALF = 3


class Go(BaseModel):
    pass


class BrokenError(Exception):
    pass


@tool
def mail(log: str, number: int) -> int:
    append(log, str(number))
    return number


@tool(retry=Retry(attempts=1))
def breaks() -> None:
    raise BrokenError


async def act_on(numbers: list[int], log: str, pause: float | None) -> list[tuple[int, int]]:
    """Send a mail for each, with a long wait in the middle; give what was asked for with what came of it."""
    done: list[tuple[int, int]] = []
    for number in numbers:
        done.append((number, await mail(log, number)))
        if len(done) == HALF:
            await (receive(Go) if pause is None else sleep(pause))
    return done


@workflow
async def abort(log: str, pause: float | None) -> list[tuple[int, int]]:
    """A group that ends early."""
    numbers: list[int] = []

    async def stand_by(number: int) -> None:
        try:
            await sleep(1000)
        finally:
            numbers.append(number)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(MANY):
                group.create_task(stand_by(number))
            group.create_task(breaks())
    except* StepFailed:
        pass
    return await act_on(numbers, log, pause)


async def give(number: int) -> int:
    return number


@workflow
async def done_set(log: str, pause: float | None) -> list[tuple[int, int]]:
    """What ``asyncio.wait`` says is done."""
    tasks = [asyncio.create_task(give(number)) for number in range(MANY)]
    done, _ = await asyncio.wait(tasks)
    return await act_on([task.result() for task in done], log, pause)


@workflow
async def pending_set(log: str, pause: float | None) -> list[tuple[int, int]]:
    """What it says is not."""
    names = {asyncio.create_task(sleep(1000)): number for number in range(MANY)}
    _, pending = await asyncio.wait(names, timeout=0.1)
    return await act_on([names[task] for task in pending], log, pause)


@workflow
async def finished_tasks(log: str, pause: float | None) -> list[tuple[int, int]]:
    """Tasks that are over when ``asyncio.as_completed`` is given them."""
    tasks = {asyncio.create_task(give(number)) for number in range(MANY)}
    await asyncio.wait(tasks)
    return await act_on([await finished for finished in asyncio.as_completed(tasks)], log, pause)


@workflow
async def future_set(log: str, pause: float | None) -> list[tuple[int, int]]:
    """Futures of every making."""
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[int]] = [loop.create_future(), asyncio.Future()]
    for number, future in enumerate(futures):
        future.set_result(number)
    shielded: list[Any] = [asyncio.shield(asyncio.create_task(give(number))) for number in (2, 3)]
    gathered: list[Any] = [asyncio.gather(give(number)) for number in (4, 5)]
    done, _ = await asyncio.wait([*futures, *shielded, *gathered])
    results = [future.result() for future in done]
    return await act_on([each[0] if isinstance(each, list) else each for each in results], log, pause)


@workflow
async def every_task(log: str, pause: float | None) -> list[tuple[int, int]]:
    """The tasks that ``asyncio.all_tasks`` has."""
    names = {asyncio.create_task(sleep(1000)): number for number in range(MANY)}
    return await act_on([names[task] for task in asyncio.all_tasks() if task in names], log, pause)


@workflow
async def default_names(log: str, pause: float | None) -> list[tuple[int, int]]:
    """The names that tasks have of their own."""
    tasks = [asyncio.create_task(give(number)) for number in range(MANY)]
    await asyncio.wait(tasks)
    numbers = sorted(range(MANY), key=lambda number: tasks[number].get_name()[::-1])
    assert [task.get_name() for task in tasks] == [f"Task-{number + 1}" for number in range(MANY)]
    return await act_on(numbers, log, pause)


@workflow
async def texts(log: str, pause: float | None) -> list[tuple[int, int]]:
    """A set of texts."""
    return await act_on([int(text) for text in {f"{number}" for number in range(MANY)}], log, pause)


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number


@workflow
async def things(log: str, pause: float | None) -> list[tuple[int, int]]:
    """A set of things that hash by their addresses, which no replay can know: many, so that the order is another."""
    return await act_on([thing.number for thing in {Thing(number) for number in range(40)}], log, pause)


@workflow
async def litter(log: str) -> None:
    """Wait for ever with cleanup to do, in ways that only the garbage collector ends."""

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await sleep(1000)
        finally:
            await mail(log, -1)

    async def clean(depth: int) -> None:
        try:
            if depth:
                await clean(depth - 1)
            else:
                async for _ in numbers():
                    await asyncio.Event().wait()
        finally:
            await mail(log, -depth)

    await asyncio.gather(*(clean(depth) for depth in range(1, 4)), receive(Go))


@workflow
async def tidy(log: str) -> int:
    """Have all garbage of the process collected, that of others too."""
    gc.collect()
    return await mail(log, 1)
