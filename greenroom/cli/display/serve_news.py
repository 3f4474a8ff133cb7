"""What ``serve`` prints on stderr while it runs: a line for each run that starts, ends or waits."""

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Final

from greenroom.cli.display.values import say, seconds
from greenroom.messages.advice import BEGINNING, approve, reject, resume, show_run
from greenroom.messages.events import events as ev
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records.approvals import approval_id
from greenroom.metrics import log
from greenroom.metrics.event_sentences import describe, shorten

WAITING_LINES: Final = 1000
"""Lines that may wait for a blocked terminal; further ones are dropped."""
MOST_KNOWN: Final = 100_000
"""Number of runs whose start is remembered, to tell how long each took."""


class News:
    """Turns events into lines. Reactor thread only."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._started: dict[str, float] = {}
        """Start times of unfinished runs, in seconds since the Unix epoch."""
        self._children: set[str] = set()
        """Runs that are children: their parents report what became of them."""

    def line(self, run_id: str, workflow: str, event: AnyEvent) -> str:
        """Return the line for an event; empty if it is not printed."""
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
                return f"{_entry(run_id)} is parked: {reason.rstrip('.')}{way}"
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
    """Print what happens to the runs of this process while the block runs, on a thread that no run depends on."""
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
