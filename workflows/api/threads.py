"""Threads for blocking calls of event loops, and the warning about a blocking call on a loop."""

import asyncio
import inspect
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

from greenroom.workflows.api.forks import renew_in_forks

P = ParamSpec("P")
T = TypeVar("T")

MOST: Final = 32
"""Most threads for short calls. More calls wait for a free thread; waiting for a run or a reply needs none."""
OURS: Final = "greenroom"


class Threads:
    """A few threads for short blocking calls: reads of the journal, and commands until they are committed.

    Each orchestrator and client has one. Its threads are started when they are needed.
    """

    def __init__(self) -> None:
        """Start no thread yet."""
        self._closed = False
        self.renew()
        renew_in_forks(self)

    def renew(self) -> None:
        """Begin with no thread, as in a fork, where calls would wait for threads of the process before."""
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="greenroom-call")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, and await its result.

        Cancelling the await does not cancel a call that has begun.
        """
        job = partial(copy_context().run, partial(function, *args, **kwargs))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None if self._closed else self._pool, job)

    def close(self) -> None:
        """End the threads once their calls are done. Later calls use the threads of the loop."""
        self._closed = True
        self._pool.shutdown(wait=False)


def in_thread(name: str, function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread of its own, and return the future of its result.

    For calls that may take long. The future cannot be cancelled.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  the caller handles it
            future.set_exception(error)

    threading.Thread(target=run, name=name).start()
    return future


def on_loop() -> bool:
    """Return whether the caller runs on the thread of an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def warn_on_loop(what: str, instead: str) -> None:
    """Warn about a blocking call on the thread of an event loop, once for each line that makes one."""
    if not on_loop():
        return
    frame, depth = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == OURS:
        frame, depth = frame.f_back, depth + 1  # the warning names the user's line
    msg = f"{what} holds the event loop of this thread until it is done: write `{instead}`"
    warnings.warn(msg, RuntimeWarning, stacklevel=depth)
