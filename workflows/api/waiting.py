"""Waiting for a run: the loops around being told that something has changed."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from greenroom.journal.event_pages import PAGE, PAGE_BYTES, EventSource, stored_events
from greenroom.journal.interface import Stored
from greenroom.messages.core.errors import JournalError
from greenroom.messages.core.message import Json
from greenroom.messages.records import ENDED, LogLine
from greenroom.workflows.api.threads import Threads
from greenroom.workflows.queries.interface import Queries
from greenroom.workflows.runs.watching.subscription import Subscription

T = TypeVar("T")
POLL: Final = 0.1
"""Seconds between two looks at what nothing announces: output, and the journal of an orchestrator elsewhere."""


class Watched(Protocol):
    """What tells of changes: an orchestrator of this process. Any thread."""

    @property
    def reads(self) -> Queries:
        """Looks at runs."""
        ...

    @property
    def threads(self) -> Threads:
        """Where loops have them looked at."""
        ...

    def watch(self, run_id: str, watcher: Callable[[], None], *, end_only: bool) -> Subscription:
        """Have ``watcher`` called now and on every change; calling what it gives ends this."""
        ...

    def check_alive(self) -> None:
        """Raise ``OrchestratorClosed`` where nothing will change any more."""
        ...


def is_over(looks: Queries, run_id: str) -> bool:
    """Say whether a run has ended or waits for a person, so that nothing follows by itself."""
    status = looks.run(run_id).status
    return status in ENDED or status == "parked"


def _over_or_rest(host: Watched, run_id: str, watch: Subscription) -> bool:
    """Look whether a run is over; where it is not, all has been seen that the watch told of."""
    seen = watch.told
    over = _is_over(host, run_id)
    if not over:
        watch.rest(seen)
    return over


def _is_over(host: Watched, run_id: str) -> bool:
    """Look whether a run is over, in a journal that may be closed by now."""
    try:
        return is_over(host.reads, run_id)
    except JournalError:
        host.check_alive()
        raise


def wait_result(host: Watched, run_id: str, timeout: float | None) -> Json:
    """Block until a run is over, and give its result or raise what stands in its place.

    Raises:
        TimeoutError: It is not over within ``timeout`` seconds.
        OrchestratorClosed: It will not be.
    """
    changed = threading.Event()
    watch = host.watch(run_id, changed.set, end_only=True)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while not _over_or_rest(host, run_id, watch):
            host.check_alive()
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not changed.wait(left):
                raise not_in_time(run_id, timeout, host.reads.run(run_id).status)
            changed.clear()
    finally:
        watch()
    return host.reads.result(run_id)


def not_in_time(run_id: str, timeout: float | None, status: str) -> TimeoutError:
    """Give the error for a wait that was too short."""
    return TimeoutError(f"run {run_id} has not ended within {timeout:g} s; it goes on and is {status} now")


async def until_result(host: Watched, run_id: str) -> Json:
    """Wait until a run is over without holding the caller's loop; see ``wait_result``.

    Raises:
        OrchestratorClosed: It will not be.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    watch = host.watch(run_id, lambda: wake(loop, changed), end_only=True)
    call = host.threads.call
    try:
        while not await call(_over_or_rest, host, run_id, watch):
            host.check_alive()
            await changed.wait()
            changed.clear()
    finally:
        watch()
    return await call(host.reads.result, run_id)


def follow(host: Watched, run_id: str, after: int) -> Iterator[Stored]:
    """Give the events of a run with sequence numbers above ``after`` as they are committed, until it is over."""
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
    """Give the same without holding the caller's loop."""
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
    """Give what ``stored_events`` gives, a page at a time read in a thread."""
    while page := await threads.call(book.events, run_id, after=after, limit=PAGE, most_bytes=PAGE_BYTES):
        after = page[-1].seq
        page.reverse()
        while page:  # what was given is let go of
            yield page.pop()


def wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event of a loop from any thread; nothing where the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


def polled(read: Callable[[], Iterable[T]], is_over: Callable[[], bool]) -> Iterator[T]:
    """Give what ``read`` gives, again and again, and once more when it is over."""
    over = False
    while not over:
        over = is_over()
        yield from read()
        if not over:
            time.sleep(POLL)


def poll_events(book: EventSource, run_id: str, after: int, is_over: Callable[[], bool]) -> Iterator[Stored]:
    """Give the events of a run above a number as another process writes them, until it is over."""

    def read() -> Iterator[Stored]:
        nonlocal after
        for stored in stored_events(book, run_id, after):
            after = stored.seq
            yield stored

    return polled(read, is_over)


def follow_logs(looks: Queries, run_id: str, after: int = 0, step: str | None = None) -> Iterator[LogLine]:
    """Give the lines of a run's output behind an offset as they are written, until the run is over."""

    def read() -> Iterator[LogLine]:
        nonlocal after
        for line in looks.logs(run_id, after, step=step):
            after = line.offset
            yield line

    return polled(read, lambda: is_over(looks, run_id))
