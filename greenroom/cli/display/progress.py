"""Live progress of one run: a table that redraws itself on a terminal, one line per event in a pipe. On stderr."""

import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from greenroom.cli.display.values import STATUS_STYLE, between, block, console, note, say, seconds
from greenroom.messages.advice import approve
from greenroom.messages.events import events
from greenroom.metrics.event_sentences import describe
from greenroom.metrics.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from greenroom.journal.interface import Stored
    from greenroom.messages.records.records import StepRecord
    from greenroom.workflows.api.orchestrator import Orchestrator
    from greenroom.workflows.state.run_state import RunState

QUIET = (
    events.StepScheduled,
    events.ProgramStarted,
    events.StateChanged,
    events.ValueEmitted,
    events.StepEmitted,
    events.ValuesDiscarded,
)
"""Events that are not shown: the next one implies them, or they have a verb of their own."""
SHOWN_STEPS = 20
"""Number of newest steps that a terminal shows at once."""


class Followed(Protocol):
    """A run whose events can be followed, in this process or another."""

    @property
    def id(self) -> str:
        """Id of the run."""
        ...

    def events(self, after: int = 0, *, follow: bool = False) -> "Iterator[Stored]":
        """Yield the events; with ``follow``, continue until the run is over."""
        ...


class Teller:
    """Turns the events of one run into plain lines, each with the seconds since its start."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._start: events.RunStarted | None = None

    def line(self, event: events.AnyEvent) -> str:
        """Return the line for an event; empty if it is not shown."""
        if isinstance(event, events.RunStarted):
            self._start = event
        if self._start is None or isinstance(event, QUIET) or getattr(event, "outcome", "") == "ok":
            return ""
        run = self._start
        words = describe(run.run_id, run.workflow, event).removeprefix(f"run {run.run_id} ").removeprefix("step ")
        return f"{event.at - run.at:8.2f} s  {words}"


class Progress:
    """State of a run so far. Written by the follower's thread, drawn by rich's thread."""

    def __init__(self, run_id: str) -> None:
        """Start before the first event."""
        self.run_id = run_id
        self._lock = threading.Lock()
        self._state: RunState | None = None
        self._decide: list[str] = []
        """Commands that approve what the run asks people."""

    def learn(self, event: Any) -> None:
        """Apply one event."""
        from greenroom.messages.records.approvals import approval_id
        from greenroom.workflows.state.fold import fold

        with self._lock:
            self._state = state = fold(self._state, event)
        # Without the lock, as the first command that is shown may print how to type it. Only this thread changes them.
        self._decide = [block(approve(approval_id(self.run_id, key))) for key in state.questions]

    def __rich__(self) -> "RenderableType":
        """Return a table of the newest steps."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from greenroom.workflows.queries.records.run_records import step_records
        from greenroom.workflows.queries.waiting_for import waits_for

        with self._lock:
            steps = step_records(self._state) if self._state is not None else []
            status = self._state.status if self._state is not None else "pending"
            waits = waits_for(self._state, time.time()) if self._state is not None and status == "waiting" else []
            decide = [f"approve with {command}" for command in self._decide] if waits else []
        shown = Table.grid(padding=(0, 2))
        for step in steps[-SHOWN_STEPS:]:
            shown.add_row(*map(_cell, _row(step)))
        done = sum(step.status == "completed" for step in steps)
        headline = Text.assemble(
            (f"{printable(self.run_id)} ", "bold"),
            (status, STATUS_STYLE.get(status, "")),
            f"  {done} of {len(steps)} steps done",
        )
        told = [*(printable(f"waits for {phrase}") for phrase in waits), *decide]
        return Group(headline, shown, *(Text(line, "yellow") for line in told))


def _cell(text: str) -> Any:
    from rich.text import Text

    return Text(printable(text), STATUS_STYLE.get(text, ""))


def _row(step: "StepRecord") -> tuple[str, ...]:
    last = step.attempts[-1] if step.attempts else None
    trail = " ".join(attempt.outcome or "running" for attempt in step.attempts)
    return (
        step.key,
        step.status,
        trail,
        f"{last.worker} pid {last.pid}" if last and last.outcome is None else "",
        seconds(between(step.scheduled_at, step.ended_at)),
    )


@contextmanager
def follow(run: Followed) -> Generator[None]:
    """Show the progress of ``run`` on stderr while the block runs; at its end the last events are shown too.

    If the block raises, further events are not waited for.
    """
    live = sys.stderr.isatty()
    progress = Progress(run.id)
    started = threading.Thread(target=_follow, args=(run, progress, live), name="progress", daemon=True)
    if not live:
        started.start()
        yield
        started.join(5.0)
        return
    from rich.live import Live

    with Live(progress, console=console(sys.stderr), refresh_per_second=8, transient=False) as shown:
        shown.console.show_cursor()  # a command that is stopped or killed has no chance to bring it back
        started.start()
        yield
        started.join(5.0)


def tell_of_delays(orchestrator: "Orchestrator") -> None:
    """Print a note on stderr when the import of an app is slow, with the line it is at, or a pool cannot start workers.

    See ``Orchestrator.on_delay``.
    """
    orchestrator.on_delay(note)


def _follow(run: Followed, progress: Progress, live: bool) -> None:  # noqa: FBT001  called in one place
    from greenroom.messages.core.errors import GreenroomError

    teller = Teller()
    try:
        for stored in run.events(follow=True):
            progress.learn(stored.event)
            line = teller.line(stored.event)
            if line and not live:
                say(line, sys.stderr)
    except GreenroomError:
        return  # the orchestrator was closed meanwhile; the code that closed it reports why
