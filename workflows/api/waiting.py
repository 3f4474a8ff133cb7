"""Waiting for a run and following its events and output."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from greenroom.journal.event_pages import PAGE, PAGE_BYTES, EventSource, stored_events
from greenroom.journal.interface import Stored
from greenroom.messages.core.errors import JournalError
from greenroom.messages.core.message import Json
from greenroom.messages.records.records import LogLine
from greenroom.workflows.api.threads import Threads
from greenroom.workflows.queries.interface import Queries

if TYPE_CHECKING:
    from greenroom.workflows.runs.watching.subscription import Subscription

T = TypeVar("T")
POLL: Final = 0.1
"""Seconds between two reads of what nothing announces: output, and the journal of another process."""


class Watched(Protocol):
    """An orchestrator of this process, which announces changes of runs. Thread-safe."""

    @property
    def reads(self) -> Queries:
        """Reads of runs."""
        ...

    @property
    def threads(self) -> Threads:
        """Threads for the reads of event loops."""
        ...

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> "Subscription":
        """Call ``watcher`` now and on every change, until the returned subscription is called."""
        ...

    def goes_on(self, run_id: str) -> bool:
        """Return True if a run is not over, as far as that is known without reading the journal."""
        ...

    def check_alive(self) -> None:
        """Raise ``OrchestratorClosed`` if the orchestrator has stopped."""
        ...


def _over_or_rest(host: Watched, run_id: str, watch: "Subscription") -> bool:
    """Return whether a run is over; if it is not, wait for changes after those announced before this call."""
    seen = watch.told
    over = _is_over(host, run_id)
    if not over:
        watch.rest(seen)
    return over


def _is_over(host: Watched, run_id: str) -> bool:
    """Return whether a run is over; the journal may be closed meanwhile.

    A run in memory changes before its journal does, so what goes on there is not over here.
    """
    try:
        return not host.goes_on(run_id) and host.reads.is_over(run_id)
    except JournalError:
        host.check_alive()
        raise


def wait_result(host: Watched, run_id: str, timeout: float | None) -> Json:
    """Block until a run is over, and return its result or raise its error; see ``Queries.result``.

    Raises:
        TimeoutError: The run is not over within ``timeout`` seconds.
        OrchestratorClosed: The orchestrator has stopped.
    """
    if not _is_over(host, run_id):
        _wait_until_over(host, run_id, timeout)
    return host.reads.result(run_id)


def _wait_until_over(host: Watched, run_id: str, timeout: float | None) -> None:
    changed = threading.Event()
    watch = host.watch(run_id, changed.set, end_only=True)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while not _over_or_rest(host, run_id, watch):
            host.check_alive()
            left = None if deadline is None else deadline - time.monotonic()
            if not changed.wait(left) and not _is_over(host, run_id):
                record = host.reads.run(run_id)
                raise not_in_time(run_id, timeout, record.status, record.reason)
            changed.clear()
    finally:
        watch()


def not_in_time(run_id: str, timeout: float | None, status: str, reason: str | None) -> TimeoutError:
    """Return the error for a run that has not ended in time."""
    why = f": {reason}" if reason else ""
    return TimeoutError(f"run {run_id} has not ended within {timeout:g} s; it goes on and is {status} now{why}")


async def until_result(host: Watched, run_id: str, timeout: float | None) -> Json:  # noqa: ASYNC109  as in wait_result
    """Await the end of a run; see ``wait_result``.

    Raises:
        TimeoutError: The run is not over within ``timeout`` seconds.
        OrchestratorClosed: The orchestrator has stopped.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    watch = host.watch(run_id, lambda: wake(loop, changed), end_only=True)
    call = host.threads.call
    deadline = None if timeout is None else loop.time() + timeout
    try:
        while not await call(_over_or_rest, host, run_id, watch):
            host.check_alive()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            if not changed.is_set() and not await call(_is_over, host, run_id):
                record = await call(host.reads.run, run_id)
                raise not_in_time(run_id, timeout, record.status, record.reason)
            changed.clear()
    finally:
        watch()
    return await call(host.reads.result, run_id)


def follow(host: Watched, run_id: str, after: int) -> Iterator[Stored]:
    """Yield the events of a run with sequence numbers above ``after`` as they are committed, until it is over."""
    changed = threading.Event()
    watch = host.watch(run_id, changed.set, end_only=False)
    try:
        while True:
            changed.clear()
            seen = watch.told
            over = _is_over(host, run_id)
            for stored in stored_events(host.reads, run_id, after):
                after = stored.seq
                yield stored
            if over:
                return
            host.check_alive()
            watch.rest(seen)
            changed.wait()
    finally:
        watch()


async def until_followed(host: Watched, run_id: str, after: int) -> AsyncGenerator[Stored]:
    """Yield the same events without blocking the caller's loop."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    watch = host.watch(run_id, lambda: wake(loop, changed), end_only=False)
    try:
        while True:
            changed.clear()
            seen = watch.told
            over = await host.threads.call(_is_over, host, run_id)
            async for stored in pages(host.threads, host.reads, run_id, after):
                after = stored.seq
                yield stored
            if over:
                return
            host.check_alive()
            watch.rest(seen)
            await changed.wait()
    finally:
        watch()


async def pages(threads: Threads, book: EventSource, run_id: str, after: int = 0) -> AsyncGenerator[Stored]:
    """Yield the same events as ``stored_events``, read a page at a time in a thread."""
    while page := await threads.call(book.events, run_id, after=after, limit=PAGE, most_bytes=PAGE_BYTES):
        after = page[-1].seq
        page.reverse()
        while page:  # so that events that were yielded can be freed
            yield page.pop()


def wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event of a loop, from any thread. Does nothing if the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


def polled(read: Callable[[], Iterable[T]], is_over: Callable[[], bool]) -> Iterator[T]:
    """Yield what ``read`` returns, again and again, and once more after ``is_over`` returned True."""
    over = False
    while not over:
        over = is_over()
        yield from read()
        if not over:
            time.sleep(POLL)


def poll_events(book: EventSource, run_id: str, after: int, is_over: Callable[[], bool]) -> Iterator[Stored]:
    """Yield the events of a run above a sequence number as another process commits them, until ``is_over()``."""

    def read() -> Iterator[Stored]:
        nonlocal after
        for stored in stored_events(book, run_id, after):
            after = stored.seq
            yield stored

    return polled(read, is_over)


def follow_logs(
    looks: Queries, run_id: str, after: int = 0, step: str | None = None, over: Callable[[], bool] | None = None
) -> Iterator[LogLine]:
    """Yield the lines of a run's output after an offset as they are written, until the run, or ``over()``, is over."""

    def read() -> Iterator[LogLine]:
        nonlocal after
        for line in looks.logs(run_id, after, step=step):
            after = line.offset
            yield line

    return polled(read, over or (lambda: looks.is_over(run_id)))
