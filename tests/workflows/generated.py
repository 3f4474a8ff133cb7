"""Programs made at random out of what asyncio has for tasks. They act on the order in which sets and events come.

Nothing in such a program is fixed beforehand: each choice is the next one of a generator that all of its tasks share,
and so is each number that it hands out. A replay that runs two tasks, or goes through a set, in another order than the
first time makes other choices, asks with other arguments, and tells another story.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from itertools import count
from typing import Any

from greenroom import emit
from greenroom.workflows.authoring.decorators import sleep, tool, workflow


class BoomError(Exception):
    """What a program's own tasks raise."""


@tool
def double(n: int) -> int:
    return n * 2


@workflow
async def generated(program: int, breadth: int, depth: int) -> list[str]:
    return await Play(program, breadth, depth).play()


class Play:
    """One program.

    Args:
        seed: Decides what it is.
        breadth: Most actions in a row, and tasks beside each other.
        depth: How far they lie within each other.
    """

    def __init__(self, seed: int, breadth: int, depth: int) -> None:
        self.chance = random.Random(seed)
        self.breadth = breadth
        self.depth = depth
        self.numbers = count(1)
        self.story: list[str] = []

    async def play(self) -> list[str]:
        for _ in range(self.breadth):
            try:
                await self.act(self.depth)
            except asyncio.CancelledError:  # Python 3.11 leaves some behind where a deadline ends a group in a group
                await self.tell("cancelled")
        return self.story

    async def tell(self, what: object) -> None:
        self.story.append(str(what))
        await emit(str(what))

    def many(self) -> range:
        return range(self.chance.randint(2, self.breadth + 1))

    async def act(self, depth: int) -> int:
        """Do anything; give a number of the program's own."""
        if depth == 0:
            return await self.chance.choice([self.step, self.step, self.nap, self.pause])()
        wide: list[Callable[[int], Coroutine[Any, Any, None]]] = [
            self.group,
            self.group,
            self.wait,
            self.wait,
            self.race,
            self.done_already,
            self.deadline,
            self.shielded,
            self.futures,
            self.gathers,
            self.queue,
            self.locks,
            self.abandoned,
        ]
        await self.chance.choice(wide)(depth - 1)
        return next(self.numbers)

    # ------------------------------------------------------------ by itself

    async def step(self) -> int:
        number = next(self.numbers)
        result = await double(number)
        assert result == number * 2, f"the call for {number} was given {result}"
        await self.tell(number)
        return number

    async def nap(self) -> int:
        await sleep(self.chance.choice([0.2, 1, 40]))
        await self.tell(f"slept until {asyncio.get_running_loop().time():.3f}")
        return next(self.numbers)

    async def pause(self) -> int:
        await asyncio.sleep(0)
        return next(self.numbers)

    async def stubborn(self, depth: int, marks: list[int]) -> int:
        """Wait for what never comes, or do something; either way do more in the end."""
        mark = next(self.numbers)
        try:
            if self.chance.random() < 0.5:
                await sleep(1000)
            return await self.act(depth)
        finally:
            marks.append(mark)
            if self.chance.random() < 0.3:
                await self.step()

    async def failing(self) -> int:
        await self.step()
        raise BoomError

    def started(self, depth: int) -> list["asyncio.Task[int]"]:
        return [asyncio.create_task(self.act(depth)) for _ in self.many()]

    async def each(self, marks: Iterable[object]) -> None:
        """Act on things in the order in which they come."""
        for mark in marks:
            await self.tell(mark.get_name() if isinstance(mark, asyncio.Task) else mark)
            await self.step()

    # ------------------------------------------------------------ beside each other

    async def group(self, depth: int) -> None:
        marks: list[int] = []
        try:
            async with asyncio.TaskGroup() as group:
                for _ in self.many():
                    group.create_task(self.stubborn(depth, marks))
                group.create_task(self.failing())
        except* BoomError as error:
            await self.tell(f"{len(error.exceptions)} failed")
        await self.each(marks)

    async def wait(self, depth: int) -> None:
        how = self.chance.choice([asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED])
        tasks = set(self.started(depth))
        if self.chance.random() < 0.3:
            tasks.add(asyncio.create_task(self.failing()))
        done, pending = await asyncio.wait(tasks, return_when=how, timeout=self.chance.choice([None, 0.5, 60]))
        await self.each([*done, *pending])
        await self.give_up(pending)
        await self.retrieve(done)

    async def race(self, depth: int) -> None:
        for finished in asyncio.as_completed([self.act(depth) for _ in self.many()]):
            await self.tell(f"then {await finished}")

    async def done_already(self, depth: int) -> None:
        tasks = self.started(depth)
        await asyncio.wait(tasks)
        for finished in asyncio.as_completed(set(tasks)):
            await self.tell(f"had {await finished}")
            await self.step()

    async def deadline(self, depth: int) -> None:
        try:
            async with asyncio.timeout(self.chance.choice([0, 0.5, 3])) as limit:
                await self.act(depth)
                limit.reschedule(asyncio.get_running_loop().time() + 0.5)
                await self.act(depth)
        except TimeoutError:
            await self.tell("late")

    async def shielded(self, depth: int) -> None:
        task = asyncio.create_task(self.act(depth))
        try:
            await self.tell(await asyncio.wait_for(asyncio.shield(task), 0.5))
        except TimeoutError:
            await self.tell("goes on")
        shields = {asyncio.shield(each) for each in (task, *self.started(depth))}
        done, _ = await asyncio.wait(shields)
        await self.each(shield.result() for shield in done)

    async def futures(self, depth: int) -> None:
        loop = asyncio.get_running_loop()
        promises: list[asyncio.Future[int]] = [
            self.chance.choice([loop.create_future, asyncio.Future])() for _ in self.many()
        ]

        async def keep(promise: "asyncio.Future[int]") -> None:
            promise.set_result(await self.act(depth))

        keepers = {asyncio.create_task(keep(promise)) for promise in promises}
        done, pending = await asyncio.wait(promises, return_when=asyncio.FIRST_COMPLETED)
        await self.each([*(promise.result() for promise in done), len(pending)])
        await asyncio.wait(keepers)
        await self.each(promise.result() for promise in set(promises))

    async def gathers(self, depth: int) -> None:
        bunches = {asyncio.gather(*self.started(depth), self.failing(), return_exceptions=True) for _ in self.many()}
        done, pending = await asyncio.wait(bunches, return_when=asyncio.FIRST_COMPLETED)
        await self.each(len(bunch.result()) for bunch in done)
        for bunch in pending:
            bunch.cancel()
        await self.retrieve(pending)

    async def queue(self, depth: int) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

        async def serve(name: int) -> None:
            while True:
                item = await queue.get()
                try:
                    await self.act(depth)
                    await self.tell(f"{name} did {item}")
                finally:
                    queue.task_done()

        servants = {asyncio.create_task(serve(name)) for name in range(2)}
        for item in range(4):
            await queue.put(item)
        await queue.join()
        await self.give_up(servants)

    async def locks(self, depth: int) -> None:
        lock, few, gate = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Barrier(3)
        news = asyncio.Condition()

        async def enter(name: int) -> None:
            async with few:
                await self.act(depth)
            await gate.wait()
            async with lock:
                await self.tell(f"{name} is alone")
                await self.step()
            async with news:
                news.notify_all()

        async def hear() -> None:
            async with news:
                await news.wait()
                await self.tell("heard")

        async with asyncio.TaskGroup() as group:
            listener = group.create_task(hear())
            for name in range(3):
                group.create_task(enter(name))
            await self.each(sorted(task.get_name() for task in asyncio.all_tasks()))
            await asyncio.wait([listener])

    async def abandoned(self, depth: int) -> None:
        """Cancel whatever of the own tasks there is, in the order that ``all_tasks`` has."""
        marks: list[int] = []
        mine = [asyncio.create_task(self.stubborn(depth, marks)) for _ in self.many()]
        await self.step()
        left = [task for task in asyncio.all_tasks() if task in mine]
        await self.give_up(left)
        await self.each(marks)

    # ------------------------------------------------------------ cleaning up

    async def give_up(self, tasks: Iterable["asyncio.Future[Any]"]) -> None:
        tasks = list(tasks)
        for task in tasks:
            task.cancel()
        await self.retrieve(tasks)

    async def retrieve(self, futures: Iterable["asyncio.Future[Any]"]) -> None:
        """Wait for all of them, whatever they end with."""
        futures = list(futures)
        if not futures:
            return
        await asyncio.wait(futures)
        for future in futures:
            failed = not future.cancelled() and future.exception() is not None
            await self.tell("cancelled" if future.cancelled() else "failed" if failed else "over")
