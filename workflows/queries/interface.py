"""What can be read of runs, from the process that has the journal or from another one."""

from collections.abc import Sequence
from typing import Protocol

from greenroom.journal.interface import Stored
from greenroom.messages.core.message import Json
from greenroom.messages.pages import Page
from greenroom.messages.records import (
    ApprovalRecord,
    DeadLetterRecord,
    LogLine,
    RunRecord,
    RunStatus,
    SessionRecord,
    StepRecord,
    TurnRecord,
)
from greenroom.metrics.figure_records import Metrics


class Queries(Protocol):
    """Looks at runs without touching them. Any thread. Everything it gives is committed."""

    def run(self, run_id: str) -> RunRecord:
        """Give one run, or raise ``RunNotFound``."""
        ...

    def runs(
        self,
        status: RunStatus | Sequence[RunStatus] | None = None,
        name: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
    ) -> Page[RunRecord]:
        """Give the newest runs first."""
        ...

    def steps(self, run_id: str) -> list[StepRecord]:
        """Give the steps of a run with their attempts."""
        ...

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Give the events of a run with sequence numbers above ``after``, at most ``limit`` of them."""
        ...

    def logs(self, run_id: str, after: int = 0, limit: int | None = None, step: str | None = None) -> list[LogLine]:
        """Give lines of a run's output behind an offset, at most ``limit`` of them."""
        ...

    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
        """Give the questions that wait for a person, of all runs or of one and its children, the oldest first."""
        ...

    def state(self, run_id: str) -> Json:
        """Give the shared state of a run."""
        ...

    def result(self, run_id: str) -> Json:
        """Give the result of a run that has completed, or raise what stands in its place."""
        ...

    def session(self, run_id: str) -> SessionRecord:
        """Give one session, or raise ``RunNotFound``."""
        ...

    def sessions(
        self,
        name: str | None = None,
        limit: int | None = 100,
        status: RunStatus | Sequence[RunStatus] | None = None,
        cursor: str | None = None,
    ) -> Page[SessionRecord]:
        """Give the sessions, of one handler or of all, the one that was opened last first."""
        ...

    def session_state(self, run_id: str) -> Json:
        """Give the state of a session; None before its first turn has ended."""
        ...

    def history(self, run_id: str) -> list[TurnRecord]:
        """Give the messages of a session with what came of each; none where it has not been opened."""
        ...

    def dead_letters(self) -> list[DeadLetterRecord]:
        """Give the messages and steps that were set aside and nobody has dealt with."""
        ...

    def metrics(self) -> Metrics:
        """Fold every run to figures."""
        ...
