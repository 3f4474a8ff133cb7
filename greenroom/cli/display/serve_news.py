"""What ``serve`` tells a person in the meantime: which runs start, end or wait, a line each, on stderr."""

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Final

from greenroom.cli.display.values import say, seconds
from greenroom.messages.advice import BEGINNING, approve, reject, resume, show_run
from greenroom.messages.approvals import approval_id
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.metrics import log
from greenroom.metrics.event_sentences import describe, shorten

WAITING_LINES: Final = 1000
"""Lines that may wait for a terminal that takes none; those that follow are left out."""
MOST_KNOWN: Final = 100_000
"""Runs whose start is remembered, for how long each took."""


class News:
    """Makes lines of events. One thread: the reactor's."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._started: dict[str, float] = {}
        """When runs started that go on, in seconds since the Unix epoch."""
        self._children: set[str] = set()
        """Runs whose parents tell what became of them."""

    def line(self, run_id: str, workflow: str, event: AnyEvent) -> str:
        """Give the line for an event, empty where a person need not hear of it."""
        match event:
            case ev.RunStarted(parent=parent, at=at):
                if parent is not None:
                    self._children.add(run_id)
                    return ""
                if len(self._started) < MOST_KNOWN:
                    self._started[run_id] = at
                return f"run {run_id} started: workflow {workflow}"
            case ev.RunCompleted() | ev.RunFailed() | ev.RunCancelled():
                return self._ended(run_id, workflow, event)
            case ev.RunParked(reason=reason):
                way = "" if BEGINNING in reason else f"; once that is mended, it goes on with {resume(run_id)}"
                return f"{_entry(run_id)} is parked: {reason}{way}"
            case ev.ApprovalAsked(key=key, action=action):
                question = approval_id(run_id, key)
                return f"run {run_id} asks a person: {shorten(action)}; {approve(question)}, or {reject(question)}"
            case _:
                return ""

    def _ended(self, run_id: str, workflow: str, event: ev.RunCompleted | ev.RunFailed | ev.RunCancelled) -> str:
        began = self._started.pop(run_id, None)
        if run_id in self._children:
            self._children.discard(run_id)
            return ""
        said = describe(run_id, workflow, event)
        if isinstance(event, ev.RunFailed):
            return f"{said}; {show_run(run_id)} shows at what"
        return said if began is None else f"{said} (after {seconds(event.at - began)})"


def _entry(run_id: str) -> str:
    return f"session {run_id}" if "/" in run_id else f"run {run_id}"


@contextmanager
def told() -> Generator[None]:
    """Tell what happens to the runs of this process while the block runs. Who prints is no thread that runs need."""
    lines: Queue[str | None] = Queue(WAITING_LINES)
    news = News()

    def hear(run_id: str, workflow: str, event: AnyEvent) -> None:
        line = news.line(run_id, workflow, event)
        if line:
            try:
                lines.put_nowait(f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {line}")
            except Full:
                return

    def print_lines() -> None:
        while (line := lines.get()) is not None:
            say(line, sys.stderr)

    printer = threading.Thread(target=print_lines, name="greenroom-news", daemon=True)
    printer.start()
    with log.heard(hear):
        yield
    try:
        lines.put(None, timeout=1.0)
        printer.join(1.0)
    except Full:
        return
