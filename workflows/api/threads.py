"""Event loops beside calls that block: threads to make them in, and a word to whoever makes one on a loop."""

import asyncio
import inspect
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST: Final = 32
"""Threads for short calls at once. Those that find none wait for one; who waits for a run or a reply needs none."""
OURS: Final = "greenroom"


class Threads:
    """A few threads in which short calls are made that block: looks at the disk, commands until they are on it.

    One for each orchestrator or client. Its threads are made when they are needed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="greenroom-call")
        self._closed = False

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, and wait for it without holding the caller's loop.

        Who stops waiting leaves a call that has begun to end by itself.
        """
        job = partial(copy_context().run, partial(function, *args, **kwargs))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None if self._closed else self._pool, job)

    def close(self) -> None:
        """Let the threads end once they have nothing to do. What is called later is called in the loop's own ones."""
        self._closed = True
        self._pool.shutdown(wait=False)


def in_thread(name: str, function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread of its own, which goes on whatever becomes of the caller; give what will come of it.

    For calls that may be long. The future cannot be cancelled.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  it is the caller's
            future.set_exception(error)

    threading.Thread(target=run, name=name).start()
    return future


def on_loop() -> bool:
    """Say whether the caller runs on the thread of an event loop, which does nothing else meanwhile."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def warn_on_loop(what: str, instead: str) -> None:
    """Warn whoever is about to hold an event loop until somebody else is done; once for each line that does so."""
    if not on_loop():
        return
    frame, depth = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == OURS:
        frame, depth = frame.f_back, depth + 1  # the line that is meant is the user's
    msg = f"{what} holds the event loop of this thread until it is done: write `{instead}`"
    warnings.warn(msg, RuntimeWarning, stacklevel=depth)
