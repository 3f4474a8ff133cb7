"""Reads of runs and sessions, declared once for the process that has the journal and for its clients."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from greenroom.journal.interface import Stored
from greenroom.messages.core.message import Json
from greenroom.messages.records.pages import Page
from greenroom.messages.records.records import (
    OVER,
    ApprovalRecord,
    DeadLetterRecord,
    LogLine,
    RunRecord,
    RunStatus,
    SessionRecord,
    StepRecord,
    TurnRecord,
)
from greenroom.messages.transcript import TranscriptMessage

if TYPE_CHECKING:
    from greenroom.metrics.figure_records import Metrics


class Queries(ABC):
    """Reads runs and sessions and changes nothing. Thread-safe. Everything returned is committed."""

    @abstractmethod
    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            RunNotFound: There is no run with this id.
        """

    @abstractmethod
    def runs(
        self,
        status: RunStatus | Sequence[RunStatus] | None = None,
        name: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
    ) -> Page[RunRecord]:
        """Return runs, the newest first.

        Args:
            status: Only runs with this status, or with one of these.
            name: Only runs of this workflow.
            limit: Most runs to return, at least 1; None for all.
            cursor: Continue after a page: its ``next``, which is None on the last page. Runs started meanwhile do not
                shift the pages.

        Raises:
            InvalidInput: The cursor does not belong to this list.
            ValueError: The limit is below 1, or there is no such status.
        """

    @abstractmethod
    def steps(self, run_id: str, after: int = 0, limit: int | None = None) -> list[StepRecord]:
        """Return the steps of a run with their attempts, in the order in which they were scheduled.

        Args:
            run_id: The run.
            after: Leave out as many of the first ones.
            limit: Most steps to return; None for all.

        Raises:
            RunNotFound: There is no run with this id.
            JournalCorrupt: The run's events are damaged.
        """

    @abstractmethod
    def transcript(self, run_id: str, step: str | None = None) -> list[TranscriptMessage]:
        """Return a conversation of a run or session with a model: what a call has read, and its answer if it has one.

        Args:
            run_id: The run or session.
            step: Key of the call's step, or of the agent that made it; then its newest call counts. None for the
                newest call of all.

        Raises:
            RunNotFound: There is no run with this id.
            InvalidInput: There is no such call in a conversation.
        """

    @abstractmethod
    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Return events of a run with sequence numbers above ``after``; see ``Journal.events``.

        Raises:
            RunNotFound: There is no run with this id.
        """

    @abstractmethod
    def logs(self, run_id: str, after: int = 0, limit: int | None = None, step: str | None = None) -> list[LogLine]:
        """Return lines that a run or session wrote to stdout and stderr after an offset, the oldest first.

        Raises:
            RunNotFound: There is no run with this id.
            JournalError: Another user could have changed the files.
        """

    @abstractmethod
    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
        """Return the open approvals of all runs, or of one run and its children, the oldest first.

        Raises:
            RunNotFound: There is no run with this id.
        """

    @abstractmethod
    def state(self, run_id: str) -> Json:
        """Return the shared state of a run; None if its workflow has none or has not changed it yet.

        Raises:
            RunNotFound: There is no run with this id.
        """

    @abstractmethod
    def result(self, run_id: str) -> Json:
        """Return the result of a completed run.

        Raises:
            RunFailed: The run failed.
            RunCancelled: The run was cancelled.
            RunParked: The run waits for a person.
            TimeoutError: The run has not ended.
        """

    def is_over(self, run_id: str) -> bool:
        """Return whether a run has ended or is parked, so that nothing more happens by itself.

        Raises:
            RunNotFound: There is no run with this id.
        """
        return self.run(run_id).status in OVER

    @abstractmethod
    def session(self, run_id: str) -> SessionRecord:
        """Return one session.

        Raises:
            RunNotFound: The session has not been opened.
        """

    @abstractmethod
    def sessions(
        self,
        name: str | None = None,
        limit: int | None = 100,
        status: RunStatus | Sequence[RunStatus] | None = None,
        cursor: str | None = None,
    ) -> Page[SessionRecord]:
        """Return sessions, the one opened last first.

        Args:
            name: Only sessions of this handler.
            limit: Most sessions to return, at least 1; None for all.
            status: Only sessions with this status, or with one of these.
            cursor: Continue after a page: its ``next``, which is None on the last page.

        Raises:
            InvalidInput: The cursor does not belong to this list.
            ValueError: The limit is below 1, or there is no such status.
        """

    @abstractmethod
    def session_state(self, run_id: str) -> Json:
        """Return the state of a session; None before its first turn has ended."""

    @abstractmethod
    def history(self, run_id: str) -> list[TurnRecord]:
        """Return the messages of a session with the outcome of each; an empty list if it has not been opened."""

    @abstractmethod
    def dead_letters(self, limit: int | None = None, cursor: str | None = None) -> Page[DeadLetterRecord]:
        """Return the dead letters, messages and steps that were set aside, by run and in order.

        Args:
            limit: Most dead letters to return, at least 1; None for all.
            cursor: Continue after a page: its ``next``, which is None on the last page.

        Raises:
            InvalidInput: The cursor does not belong to this list.
            ValueError: The limit is below 1.
        """

    @abstractmethod
    def metrics(self) -> "Metrics":
        """Return figures of all runs in the journal: latencies, retries, crashes, successes and failures."""
