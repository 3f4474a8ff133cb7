"""The handle on a run in asynchronous code."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from greenroom.actors.api.emit import check_channel
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.times import limit
from greenroom.messages.records import ENDED
from greenroom.workflows.api.handles.run import Run, shown_event
from greenroom.workflows.api.waiting import POLL, is_over, not_in_time, pages
from greenroom.workflows.queries.records import stream_items

if TYPE_CHECKING:
    from pydantic import BaseModel

    from greenroom.journal.interface import Stored
    from greenroom.messages.core.times import Seconds
    from greenroom.messages.policy import Budget
    from greenroom.messages.records import ApprovalRecord, LogLine, RunRecord, RunStatus, StepRecord, StreamItem

R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")


class AsyncRun(Generic[R]):
    """One run of a workflow, for asyncio: a ``Run`` whose every look and command is awaited, and blocks no event loop.

    ``await run`` gives its result. Nobody who waits for it, or follows it, holds a thread meanwhile; whoever stops
    waiting leaves the run to go on. May be used on any loop, in any thread.

    Attributes:
        id: Identity of the run.
        plain: The same run for code that may block.
    """

    def __init__(self, run: Run[R]) -> None:
        """Made by ``AsyncOrchestrator``, ``AsyncClient`` and ``Run.aio``."""
        self.id = run.id
        self.plain = run
        self._call = run.host.threads.call

    def __repr__(self) -> str:
        """Say which one it is; where it stands has to be awaited."""
        return f"<AsyncRun {self.id}>"

    def __await__(self) -> Generator[Any, None, R]:
        """Wait for the end and give the result; see ``result``."""
        return self.plain.__await__()

    async def result(self, timeout: "Seconds | None" = None) -> R:  # noqa: ASYNC109  the contract's word
        """Wait for the end and give the result; see ``Run.result``."""
        patience = limit(timeout, "the timeout of result()")
        within = asyncio.timeout(patience)
        try:
            async with within:
                return await self.plain
        except TimeoutError:
            if not within.expired():
                raise
        status = await self.status
        if status in ENDED or status == "parked":
            return await self.plain
        raise not_in_time(self.id, patience, status)

    @property
    def record(self) -> "Coroutine[Any, Any, RunRecord]":
        """The run's line in the index: ``await run.record``."""
        return self._call(lambda: self.plain.record)

    @property
    def status(self) -> "Coroutine[Any, Any, RunStatus]":
        """Where the run stands: ``await run.status``."""
        return self._call(lambda: self.plain.status)

    @property
    def state(self) -> Coroutine[Any, Any, Any]:
        """The shared state as of the newest committed step: ``await run.state``."""
        return self._call(lambda: self.plain.state)

    @property
    def usage(self) -> Coroutine[Any, Any, dict[str, float]]:
        """What all model calls of the run used: ``await run.usage``."""
        return self._call(lambda: self.plain.usage)

    async def logs(self, step: str | None = None, *, after: int = 0, follow: bool = False) -> "AsyncIterator[LogLine]":
        """Give the lines that the run's code has written, for ``async for``; see ``Run.logs``."""
        reads, over = self.plain.host.reads, False
        while not over:
            over = not follow or await self._call(is_over, reads, self.id)
            for line in await self._call(partial(reads.logs, self.id, after, step=step)):
                after = line.offset
                yield line
            if not over:
                await asyncio.sleep(POLL)

    async def steps(self) -> "list[StepRecord]":
        """Give the steps with their attempts; see ``Run.steps``."""
        return await self._call(self.plain.steps)

    def events(self, after: int = 0, *, follow: bool = False) -> "AsyncIterator[Stored]":
        """Give the events to an ``async for``; see ``Run.events``."""
        return _each(shown_event, self._stored(after, follow=follow))

    def stream(
        self, channel: str = "default", *, after: int | None = None, follow: bool = False
    ) -> "AsyncIterator[StreamItem]":
        """Give the values that the workflow has emitted to an ``async for``; see ``Run.stream``."""
        check_channel(channel)
        return _items(self._stored(0, follow=follow), channel, after)

    def _stored(self, after: int, *, follow: bool) -> "AsyncIterator[Stored]":
        host = self.plain.host
        return host.until_followed(self.id, after) if follow else pages(host.threads, host.reads, self.id, after)

    async def approvals(self) -> "list[ApprovalRecord]":
        """Give what the run and its children ask a person; see ``Run.approvals``."""
        return await self._call(self.plain.approvals)

    async def cancel(self, reason: str | None = None, *, within: "Seconds | None" = None) -> None:
        """Ask the run to end early; see ``Run.cancel``."""
        await self._call(self.plain.cancel, reason, within=within)

    async def signal(self, message: "BaseModel", key: str | None = None) -> None:
        """Send the run a message; see ``Run.signal``."""
        await self._call(self.plain.signal, message, key)

    async def pause(self, reason: str | None = None) -> None:
        """Have the run and its children stop where they are; see ``Run.pause``."""
        await self._call(self.plain.pause, reason)

    async def retry(self) -> None:
        """Let a run that failed or was cancelled go on from the step that failed; see ``Run.retry``."""
        await self._call(self.plain.retry)

    async def fork(
        self,
        at: str | None = None,
        input: Any = None,  # noqa: A002
        result: Any = None,
        *,
        id: str | None = None,  # noqa: A002
    ) -> "AsyncRun[R]":
        """Start a run that shares this one's past up to a step; see ``Run.fork``."""
        return AsyncRun(await self._call(self.plain.fork, at, input, result, id=id))

    async def resume(self, budget: "Budget | None" = None) -> None:
        """Let a paused or parked run go on; see ``Run.resume``."""
        await self._call(self.plain.resume, budget)


async def _each(read: Callable[[T], U], items: AsyncIterator[T]) -> AsyncGenerator[U]:
    async with aclosing(cast("AsyncGenerator[T]", items)):
        async for item in items:
            yield read(item)


async def _items(events: "AsyncIterator[Stored]", channel: str, after: int | None) -> "AsyncGenerator[StreamItem]":
    async with aclosing(cast("AsyncGenerator[Stored]", events)):
        async for stored in events:
            for item in stream_items((stored,), channel, after):
                yield shown(item)
