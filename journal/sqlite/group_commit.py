"""Group commit: one thread writes everything that is queued, together, then answers everybody who waits."""

import sys
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Literal, TypeAlias, TypeVar

from greenroom.journal.interface import Append
from greenroom.messages.core.errors import JournalError, OrchestratorClosed

T = TypeVar("T")

MAX_GROUP = 512
"""Appends in one commit at most, so that the first of a flood does not wait for its last."""

QUIET = 1.0
"""Seconds without an append after which the writer does what has waited for a quiet moment."""

IdleMonitor: TypeAlias = Literal["busy", "idle", "quiet"]
"""How much there is to do: more is queued; nothing is queued; nothing has been for ``QUIET`` seconds."""
Answer: TypeAlias = JournalError | None
Commit: TypeAlias = Callable[[Sequence[Append]], Sequence[Answer]]
"""Writes a group and gives one answer per append; what it raises ends the journal."""


class GroupCommit:
    """The single writer's thread and its queue.

    A store that fails once is not asked again: what it holds after a failed sync is unknown, so every append from
    then on gets the same error.
    """

    def __init__(self, commit: Commit, rest: Callable[[IdleMonitor], None], name: str) -> None:
        """Start the thread.

        Args:
            commit: Called in the thread with at least one append.
            rest: Called in the thread after a group was answered, and once more when no other has come since for a
                while; for chores.
            name: The thread's name.
        """
        self._commit = commit
        self._rest = rest
        self._inbox: SimpleQueue[Append | None] = SimpleQueue()  # None, put once by close, is the last item
        self._gate = threading.Lock()  # orders appends before the closing mark
        self._closed = False
        self._restless = False  # whether a group was written since the last quiet moment; the thread's own
        self._failed: JournalError | None = None  # set by the thread once, read by anybody
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def failed(self) -> JournalError | None:
        """Why nothing more is taken, or None."""
        return self._failed

    def append(self, append: Append) -> None:
        """Queue an append; from any thread.

        Raises:
            OrchestratorClosed: ``close`` was called before.
        """
        with self._gate:
            if self._closed:
                msg = "the journal is closed: this append was not written"
                raise OrchestratorClosed(msg)
            self._inbox.put(append)

    def close(self) -> None:
        """Commit what is queued and end the thread; from any thread but the writer's own."""
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
        """Wait for one append, then take all that are queued; False after the last ones there will be."""
        group: list[Append] = []
        while not group or (len(group) < MAX_GROUP and not self._inbox.empty()):
            item = self._next() if not group else self._inbox.get()
            if item is None:
                return group, False
            group.append(item)
        return group, True

    def _next(self) -> Append | None:
        """Wait for the first append of a group, and use the time where it is long."""
        if self._restless:
            try:
                return self._inbox.get(timeout=QUIET)
            except Empty:
                self._restless = False
                lull: IdleMonitor = "quiet"
                self._guard(self._rest, lull)
        return self._inbox.get()

    def _settle(self, group: list[Append]) -> None:
        answers = self._guard(self._commit, group)
        for append, answer in zip(group, answers or [self._failed] * len(group), strict=True):
            _tell(append, answer)
        self._restless = True
        lull: IdleMonitor = "idle" if self._inbox.empty() else "busy"
        self._guard(self._rest, lull)

    def _guard(self, work: Callable[[T], Sequence[Answer] | None], what: T) -> Sequence[Answer] | None:
        """Do what may fail, unless something has failed before; give None where it did."""
        if self._failed is None:
            try:
                return work(what)
            except JournalError as error:
                self._failed = error
            except Exception as error:  # noqa: BLE001  whatever it was, nobody may go on believing that writes are safe
                self._failed = JournalError(
                    f"the journal's writer failed ({type(error).__name__}: {error}): start again"
                )
                self._failed.__cause__ = error
        return None


def _tell(append: Append, answer: Answer) -> None:
    """Answer one append; an answer that raises is reported like any thread's uncaught error and harms nobody else."""
    try:
        append.done(answer)
    except BaseException:  # noqa: BLE001  the callback's fault must not end the thread that all others wait for
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
