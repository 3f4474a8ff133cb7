"""The runs of a chaos run: started as long as faults come, asked for again where an answer was lost, and awaited."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from greenroom.cli.commands.chaos.orchestrator_process import POLL, OrchestratorProcess
from greenroom.journal.interface import RunRow
from greenroom.messages.commands import StartRun
from greenroom.messages.core.equality import same
from greenroom.messages.core.errors import OrchestratorClosed, OrchestratorUnreachable
from greenroom.messages.core.frozen import frozen
from greenroom.messages.core.message import Json
from greenroom.messages.records.records import OVER, DeadLetterRecord, RunRecord
from greenroom.workflows.queries.reader import JournalQueries

REHEARSALS: Final = 2
"""Runs of each workflow without faults: their results tell whether it always has the same one."""


@frozen
class Target:
    """A workflow of an app."""

    app: str
    workflow: str

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{Path(self.app).name}:{self.workflow}"


@frozen
class Rehearsal:
    """How a workflow ends without faults."""

    seconds: float
    deterministic: bool
    """Whether each time it had the same result."""
    result: Json
    same_state: bool
    """Whether each time it left the same shared state."""
    state: Json


@frozen
class Failing:
    """What fails without faults."""

    workflows: frozenset[str]
    """Names of the workflows of children that have failed."""
    sessions: frozenset[str]
    """Names of the sessions to which messages have failed."""


class Workload:
    """Keeps a number of runs going.

    Attributes:
        accepted: The runs whose start was acknowledged, in order.
    """

    def __init__(
        self,
        orchestrator: OrchestratorProcess,
        reads: JournalQueries,
        targets: Sequence[Target],
        arguments: dict[str, Any],
        at_once: int,
    ) -> None:
        """Start nothing yet.

        Args:
            orchestrator: Where the runs are started.
            reads: Reads its journal.
            targets: Workflows, each in its turn.
            arguments: Arguments of each run.
            at_once: Number of runs that go on at the same time.
        """
        self._orchestrator = orchestrator
        self._reads = reads
        self._targets = targets
        self._arguments = arguments
        self._at_once = at_once
        self._number = 0
        self._asked: dict[str, Target] = {}  # whose acknowledgement has not come yet
        self._going: dict[str, Target] = {}
        self.accepted: dict[str, Target] = {}

    @property
    def going(self) -> int:
        """Number of runs that go on."""
        return len(self._going)

    def rehearse(self, target: Target, timeout: float) -> Rehearsal:
        """Run a workflow without faults.

        Raises:
            ClickException: It did not complete, or not in time.
            GreenroomError: It cannot be started.
        """
        begun = time.monotonic()
        place = self._targets.index(target) + 1
        run_ids = [f"rehearsal-{place}-{number + 1}" for number in range(REHEARSALS)]
        for run_id in run_ids:
            self._orchestrator.ask(self._start(run_id, target))
        if left := self._wait(lambda: self._unfinished(run_ids), timeout):
            msg = (
                f"{target.title} has not ended within {timeout:g} s, without any fault: run {left[0]} is "
                f"{self._reads.run(left[0]).status}; a workload has to end by itself"
            )
            raise click.ClickException(msg)
        for run_id in run_ids:
            record = self._reads.run(run_id)
            if record.status != "completed":
                msg = f"{target.title} does not complete without faults either: run {run_id} {ending(record)}"
                raise click.ClickException(msg)
        seconds = time.monotonic() - begun
        if left := self._wait(lambda: busy_sessions(self._reads), timeout):
            msg = (
                f"session {left[0]}, which {target.title} tells something, has not answered all messages within "
                f"{timeout:g} s, without any fault"
            )
            raise click.ClickException(msg)
        result, *results = map(self._reads.result, run_ids)
        state, *states = map(self._reads.state, run_ids)
        return Rehearsal(
            seconds,
            deterministic=all(same(result, other) for other in results),
            result=result,
            same_state=all(same(state, other) for other in states),
            state=state,
        )

    def failing(self) -> Failing:
        """Return what has failed so far. To be called between the rehearsals and the first fault."""
        return Failing(
            frozenset(row.workflow for row in failed_children(self._reads)),
            frozenset(session_name(letter.run_id) for letter in failed_messages(self._reads)),
        )

    def keep_going(self) -> None:
        """Start runs until as many go on as should. One call waits for no run."""
        self._orchestrator.check()
        for run_id in self._going.keys() - set(self._unfinished(self._going)):
            del self._going[run_id]
        while len(self._going) + len(self._asked) < self._at_once:
            self._number += 1
            target = self._targets[self._number % len(self._targets)]
            self._asked[f"chaos-{self._number}"] = target
        for run_id, target in list(self._asked.items()):
            try:
                self._orchestrator.ask(self._start(run_id, target))
            except (OrchestratorClosed, OrchestratorUnreachable):
                return  # whether it was taken is not known: the same start is asked for again
            del self._asked[run_id]
            self._going[run_id] = self.accepted[run_id] = target

    def finish(self, timeout: float) -> None:
        """Wait until all accepted runs are over and all sessions have nothing to do, at most this many seconds."""
        self._wait(lambda: [*self._unfinished(self._going), *busy_sessions(self._reads)], timeout)

    def _wait(self, look: Callable[[], list[str]], timeout: float) -> list[str]:
        """Wait until nothing is left. Return what is left after a number of seconds."""
        deadline = time.monotonic() + timeout
        while (left := look()) and time.monotonic() < deadline:
            self._orchestrator.check()
            time.sleep(POLL)
        return left

    def _start(self, run_id: str, target: Target) -> StartRun:
        return StartRun(run_id=run_id, app=target.app, workflow=target.workflow, arguments=self._arguments)

    def _unfinished(self, run_ids: Iterable[str]) -> list[str]:
        """Return the runs that are not over, or not to be found at all."""
        rows = ((run_id, self._reads.journal.run(run_id)) for run_id in run_ids)
        return [run_id for run_id, row in rows if row is None or row.status not in OVER]


def busy_sessions(reads: JournalQueries) -> list[str]:
    """Return the sessions that handle a message, or have one to handle."""
    return [row.id for row in reads.journal.runs(kind="session", status=["pending", "running"], limit=None)]


def failed_children(reads: JournalQueries) -> list[RunRow]:
    """Return the children that have failed, of all runs."""
    return [row for row in reads.journal.runs(kind="run", status=["failed"], limit=None) if row.parent is not None]


def failed_messages(reads: JournalQueries) -> list[DeadLetterRecord]:
    """Return the messages to sessions that have failed and were set aside."""
    return [letter for letter in reads.dead_letters() if letter.kind == "message"]


def session_name(run_id: str) -> str:
    """Return the name of the session with this id."""
    return run_id.partition("/")[0]


def ending(record: RunRecord) -> str:
    """Return a run's status, with the reason where there is one."""
    why = record.failure.sentence() if record.failure is not None else record.reason
    return f"is {record.status}" + (f": {why}" if why else "")
