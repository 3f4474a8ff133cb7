"""Running a workflow by the orchestrator of another process, and following it in the journal."""

import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from greenroom.cli.command_group import NOTHING_SAID
from greenroom.cli.display.values import emit, look, note, say
from greenroom.cli.hosting.ownership import owner_name
from greenroom.cli.hosting.run_request import RunRequest
from greenroom.cli.hosting.unfinished import not_in_time_code
from greenroom.messages.advice import go_on
from greenroom.messages.core.errors import OrchestratorUnreachable, RunEnded

if TYPE_CHECKING:
    from greenroom.journal.interface import Stored
    from greenroom.workflows.home.home import Home
    from greenroom.workflows.queries.reader import JournalQueries

POLL: Final = 0.1
"""Seconds between two reads of the journal of an orchestrator in another process, which announces nothing."""
ENDING: Final = 5.0
"""Seconds to wait for the end of a run after its orchestrator stopped taking commands: it may still record that end, or
another orchestrator may start."""


def submit(home: "Home", request: RunRequest) -> None:
    """Send the orchestrator that lives on the home the command to start a run, or to resume it.

    Raises:
        GreenroomError: The orchestrator refuses.
    """
    from greenroom.messages.commands import ResumeRun, StartRun
    from greenroom.messages.records.records import ENDED
    from greenroom.messages.refusals import check
    from greenroom.workflows.control.access.control_socket import ask

    if request.imports != NOTHING_SAID:
        note(f"--env and --import-timeout have no effect: {owner_name(home)} imports the app, with options of its own")
    if request.named:
        start = StartRun(
            run_id=request.run_id,
            app=request.app,
            workflow=request.workflow,
            arguments=dict(request.arguments),
            budget=request.budget,
        )
        check(ask(home, start))
    if request.exists:
        with look(home) as reads:
            ended = reads.run(request.run_id).status in ENDED
        if not ended:
            try:
                check(ask(home, ResumeRun(run_id=request.run_id)))
            except RunEnded:
                return  # after it was read


def follow_run(home: "Home", request: RunRequest) -> int:
    """Show the progress of a run of another process, and its result; return the exit code."""
    from greenroom.cli.display.progress import follow

    try:
        with look(home) as reads, follow(run := RemoteRun(reads, home, request.run_id)), _output(reads, request):
            result = run.result(request.timeout)
    except TimeoutError:
        return not_in_time_code(request, home, f"goes on in {owner_name(home)}")
    emit(result)
    return 0


@contextmanager
def _output(reads: "JournalQueries", request: RunRequest) -> Generator[None]:
    """Show what the code of the run prints, while the block runs and once more at its end.

    What a run that existed before had printed by then is not shown.
    """
    if request.quiet:
        yield
        return
    from greenroom.workflows.output.live_view import prefix

    done = threading.Event()
    known = reads.logs(request.run_id) if request.exists else []
    last = known[-1].offset if known else 0

    def show() -> None:
        nonlocal last
        for line in reads.logs(request.run_id, last):
            last = line.offset
            say(f"{prefix(line, runs=False)} {line.text}", sys.stderr)

    def poll() -> None:
        while not done.wait(POLL):
            show()

    thread = threading.Thread(target=poll, name="output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        show()


class RemoteRun:
    """A run of an orchestrator in another process, read from the journal.

    Args:
        reads: Reads of the journal.
        home: The home of that orchestrator.
        run_id: Id of the run.
    """

    def __init__(self, reads: "JournalQueries", home: "Home", run_id: str) -> None:
        """Read nothing yet."""
        self.id: Final = run_id
        self.reads: Final = reads
        self._home = home

    def events(self, after: int = 0, *, follow: bool = False) -> "Iterator[Stored]":
        """Yield the events above ``after``; with ``follow``, until the run is over or its orchestrator has stopped."""
        from greenroom.messages.core.json_text import shown
        from greenroom.workflows.api.waiting import poll_events

        def over() -> bool:
            return not follow or self.reads.is_over(self.id) or not self._is_hosted()

        for stored in poll_events(self.reads, self.id, after, over):
            yield replace(stored, event=shown(stored.event))

    def result(self, timeout: float | None) -> Any:
        """Wait until the run is over, and return its result or raise its error; see ``Queries.result``.

        Raises:
            TimeoutError: The run is not over within ``timeout`` seconds.
            OrchestratorUnreachable: Its orchestrator ended before the run was over.
        """
        from greenroom.workflows.api.waiting import not_in_time

        deadline = None if timeout is None else time.monotonic() + timeout
        hosted = time.monotonic()
        while not self.reads.is_over(self.id):
            now = time.monotonic()
            if self._is_hosted():
                hosted = now
            elif now - hosted > ENDING:
                lost = f"{owner_name(self._home)}, which had run {self.id}, has ended; nothing of the run is lost"
                msg = f"{lost}: {go_on(self.id)} goes on with it"
                raise OrchestratorUnreachable(msg)
            if deadline is not None and now >= deadline:
                record = self.reads.run(self.id)
                raise not_in_time(self.id, timeout, record.status, record.reason)
            time.sleep(POLL)
        return self.reads.result(self.id)

    def _is_hosted(self) -> bool:
        from greenroom.workflows.control.access import contact

        return contact.is_open(self._home)
