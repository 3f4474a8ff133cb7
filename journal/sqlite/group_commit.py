"""Group commit: one thread writes all queued appends in one transaction, and then answers all of them."""

import sys
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Literal, TypeAlias, TypeVar

from greenroom.journal.interface import Append
from greenroom.messages.core.errors import JournalError, OrchestratorClosed

T = TypeVar("T")
R = TypeVar("R")

MAX_GROUP = 512
"""Most appends in one commit, so that the first of many does not wait for the last."""

QUIET = 1.0
"""Seconds without an append after which the writer does its delayed maintenance."""

Load: TypeAlias = Literal["busy", "idle", "quiet"]
"""Load of the writer: more is queued; nothing is queued; nothing was queued for ``QUIET`` seconds."""
Answer: TypeAlias = JournalError | None
Commit: TypeAlias = Callable[[Sequence[Append]], Sequence[Answer]]
"""Writes a group and returns one answer per append. An exception ends the journal."""


class GroupCommit:
    """The single writer's thread and its queue.

    After one failure nothing more is written, because the file's content after a failed sync is unknown. Every later
    append gets the same error.
    """

    def __init__(self, commit: Commit, rest: Callable[[Load], bool], name: str) -> None:
        """Start the thread.

        Args:
            commit: Called in the thread with at least one append.
            rest: Maintenance. Called in the thread after a group was answered, and again after a while without appends.
                Then it is called until it returns False or an append comes.
            name: The thread's name.
        """
        self._commit = commit
        self._rest = rest
        self._inbox: SimpleQueue[Append | None] = SimpleQueue()  # None, put once by close, is the last item
        self._gate = threading.Lock()  # orders appends before the closing mark
        self._closed = False
        self._restless = True  # whether there may be maintenance to do; used by the thread only
        self._failed: JournalError | None = None  # set once by the thread, read from any thread
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def failed(self) -> JournalError | None:
        """Why no more appends are accepted; None if they are."""
        return self._failed

    def append(self, append: Append) -> None:
        """Queue an append. Thread-safe.

        Raises:
            OrchestratorClosed: ``close`` was called before.
        """
        with self._gate:
            if self._closed:
                msg = "the journal is closed: this append was not written"
                raise OrchestratorClosed(msg)
            self._inbox.put(append)

    def close(self) -> None:
        """Commit the queued appends and end the thread. Called from any thread except the writer's own."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._take()
            if group:
                self._settle(group)

    def _take(self) -> tuple[list[Append], bool]:
        """Wait for one append, then take all queued ones. Return False after the last group."""
        group: list[Append] = []
        while not group or (len(group) < MAX_GROUP and not self._inbox.empty()):
            item = self._next() if not group else self._inbox.get()
            if item is None:
                return group, False
            group.append(item)
        return group, True

    def _next(self) -> Append | None:
        """Wait for the first append of a group, and do maintenance during a long wait."""
        if self._restless:
            try:
                return self._inbox.get(timeout=QUIET)
            except Empty:
                load: Load = "quiet"
                while self._guard(self._rest, load) and self._inbox.empty():
                    pass
                self._restless = not self._inbox.empty()
        return self._inbox.get()

    def _settle(self, group: list[Append]) -> None:
        answers = self._guard(self._commit, group)
        for append, answer in zip(group, answers or [self._failed] * len(group), strict=True):
            _tell(append, answer)
        self._restless = True
        load: Load = "idle" if self._inbox.empty() else "busy"
        self._guard(self._rest, load)

    def _guard(self, work: Callable[[T], R], what: T) -> R | None:
        """Call something that may fail, unless something has failed before. Return None on failure."""
        if self._failed is None:
            try:
                return work(what)
            except JournalError as error:
                self._failed = error
            except Exception as error:  # noqa: BLE001  after any failure, no later write may be reported as safe
                self._failed = JournalError(
                    f"the journal's writer failed ({type(error).__name__}: {error}): start again"
                )
                self._failed.__cause__ = error
        return None


def _tell(append: Append, answer: Answer) -> None:
    """Answer one append. An exception of its callback is reported like a thread's uncaught one, and ends nothing."""
    try:
        append.done(answer)
    except BaseException:  # noqa: BLE001  a callback must not end the thread that all others wait for
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
