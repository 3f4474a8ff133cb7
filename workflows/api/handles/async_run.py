"""The handle of a run in asynchronous code."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from greenroom.actors.api.emit import check_channel
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.times import limit
from greenroom.workflows.api.handles.run import Run, shown_event
from greenroom.workflows.api.handles.twin import Twin, awaited
from greenroom.workflows.api.waiting import POLL, pages
from greenroom.workflows.queries.records.run_records import stream_items

if TYPE_CHECKING:
    from greenroom.journal.interface import Stored
    from greenroom.messages.core.times import Seconds
    from greenroom.messages.records.records import LogLine, RunRecord, RunStatus, StreamItem

R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")


class AsyncRun(Twin[Run[R]], Generic[R]):
    """One run of a workflow, for asyncio: a ``Run`` whose reads and commands are awaited and block no event loop.

    ``await run`` returns its result. Waiting for a run or following it holds no thread, and cancelling the await does
    not cancel the run. Thread-safe, on any loop.

    Attributes:
        id: Identity of the run.
        plain: The same run for code that may block.
    """

    def __init__(self, run: Run[R]) -> None:
        """Made by ``AsyncOrchestrator``, ``AsyncClient`` and ``Run.aio``."""
        super().__init__(run, run.host.threads)
        self.id = run.id

    def __repr__(self) -> str:
        """Name the run; its status has to be awaited."""
        return f"<AsyncRun {self.id}>"

    def __await__(self) -> Generator[Any, None, R]:
        """Await the end and return the result; see ``result``."""
        return self.plain.__await__()

    async def result(self, timeout: "Seconds | None" = None) -> R:  # noqa: ASYNC109  the contract's word
        """Await the end and return the result; see ``Run.result``."""
        return await self.plain.until_over(limit(timeout, "the timeout of result()"))

    @property
    def record(self) -> "Coroutine[Any, Any, RunRecord]":
        """The run's entry in the index: ``await run.record``."""
        return self._call(lambda: self.plain.record)

    @property
    def status(self) -> "Coroutine[Any, Any, RunStatus]":
        """Status of the run: ``await run.status``."""
        return self._call(lambda: self.plain.status)

    @property
    def state(self) -> Coroutine[Any, Any, Any]:
        """The shared state as of the newest committed step: ``await run.state``."""
        return self._call(lambda: self.plain.state)

    @property
    def usage(self) -> Coroutine[Any, Any, dict[str, float]]:
        """Usage of all model calls of the run: ``await run.usage``."""
        return self._call(lambda: self.plain.usage)

    async def logs(self, step: str | None = None, *, after: int = 0, follow: bool = False) -> "AsyncIterator[LogLine]":
        """Yield the lines that the run's code wrote, for an ``async for``; see ``Run.logs``."""
        reads, over = self.plain.host.reads, False
        while not over:
            over = not follow or await self._call(reads.is_over, self.id)
            for line in await self._call(partial(reads.logs, self.id, after, step=step)):
                after = line.offset
                yield line
            if not over:
                await asyncio.sleep(POLL)

    def events(self, after: int = 0, *, follow: bool = False) -> "AsyncIterator[Stored]":
        """Yield the events to an ``async for``; see ``Run.events``."""
        return _each(shown_event, self._stored(after, follow=follow))

    def stream(
        self, channel: str = "default", *, after: int | None = None, follow: bool = False
    ) -> "AsyncIterator[StreamItem]":
        """Yield the values that the workflow emitted to an ``async for``; see ``Run.stream``."""
        check_channel(channel)
        return items_of(self._stored(0, follow=follow), channel, after)

    def _stored(self, after: int, *, follow: bool) -> "AsyncIterator[Stored]":
        host = self.plain.host
        return host.until_followed(self.id, after) if follow else pages(host.threads, host.reads, self.id, after)

    async def fork(
        self,
        at: str | None = None,
        input: Any = None,  # noqa: A002
        result: Any = ...,
        *,
        id: str | None = None,  # noqa: A002
    ) -> "AsyncRun[R]":
        """Start a run that shares this run's past up to a step; see ``Run.fork``."""
        return AsyncRun(await self._call(self.plain.fork, at, input, result, id=id))

    steps = awaited(Run[Any].steps)
    transcript = awaited(Run[Any].transcript)
    approvals = awaited(Run[Any].approvals)
    cancel = awaited(Run[Any].cancel)
    signal = awaited(Run[Any].signal)
    pause = awaited(Run[Any].pause)
    retry = awaited(Run[Any].retry)
    resume = awaited(Run[Any].resume)


async def _each(read: Callable[[T], U], items: AsyncIterator[T]) -> AsyncGenerator[U]:
    async with aclosing(cast("AsyncGenerator[T]", items)):
        async for item in items:
            yield read(item)


async def items_of(events: "AsyncIterator[Stored]", channel: str, after: int | None) -> "AsyncGenerator[StreamItem]":
    """Yield the items of a channel among events."""
    async with aclosing(cast("AsyncGenerator[Stored]", events)):
        async for stored in events:
            for item in stream_items((stored,), channel, after):
                yield shown(item)
