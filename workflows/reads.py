"""Looking at runs without touching them: reads of the journal, with an orchestrator running or not."""

import difflib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from loguru import logger

from understudy.actors.rebuilding import pointed
from understudy.journal.pages import stored_events
from understudy.journal.place import refuse_strangers
from understudy.journal.protocol import Journal, Mark, RunRow, Stored
from understudy.journal.sqlite import SqliteJournal
from understudy.messages.approvals import split_approval_id
from understudy.messages.base import Json
from understudy.messages.errors import ApprovalNotFound, JournalCorrupt, RunCancelled, RunFailed, RunNotFound, RunParked
from understudy.messages.events import ApprovalAsked, RunCompleted
from understudy.messages.events import RunFailed as RunHasFailed
from understudy.messages.records import (
    ALIVE,
    ApprovalRecord,
    DeadLetterRecord,
    Difference,
    RunRecord,
    RunStatus,
    SessionRecord,
    StepRecord,
    TurnRecord,
)
from understudy.metrics.figures import Metrics, figures
from understudy.workflows.approving import Asked
from understudy.workflows.differences import first_difference
from understudy.workflows.fold import fold_all, recall
from understudy.workflows.home import Home
from understudy.workflows.marked import marked_event
from understudy.workflows.schedule_reads import is_schedule
from understudy.workflows.state import RunState
from understudy.workflows.turn_views import dead_letter, session_record, turn_records
from understudy.workflows.views import approval_record, failed_at, run_record, step_records


def load(journal: Journal, run_id: str) -> RunState:
    """Give the state of a run or session by what its journal holds; of a session only what it needs to go on is read.

    Raises:
        LookupError: There is none with this id.
        JournalCorrupt: Its events are not what was written.
    """
    row = journal.run(run_id)
    if row is None:
        msg = f"there is no run {run_id!r}"
        raise LookupError(msg)
    if row.wake_seq == 0:
        return fold_all(stored.event for stored in stored_events(journal, run_id))
    return recall(journal.events(run_id, limit=1)[0], journal.events(run_id, after=row.wake_seq))


def _log(sentence: str) -> None:
    logger.error("{}", sentence)


class Reads:
    """Answers questions about runs from their journal. Any thread.

    Everything it gives is committed: a view is the fold of what is on the disk.
    """

    def __init__(self, journal: Journal, complain: Callable[[str], None] = _log) -> None:
        """Read from ``journal``, which stays its owner's to close.

        Args:
            journal: What to read.
            complain: Called with a sentence where something is damaged and the answer goes without it.
        """
        self.journal = journal
        self._complain = complain

    @classmethod
    def open(cls, home: Home, complain: Callable[[str], None] = _log) -> Self:
        """Open the journal of a home for reading alone.

        Raises:
            RunNotFound: The home has no journal yet.
            JournalError: The journal cannot be read.
        """
        path = home.journal
        refuse_strangers(path)  # it names code, which `understudy check` runs
        if not Path(path).exists():
            msg = f"there are no runs: the home {home.path} has no journal yet; start one with `understudy run`"
            raise RunNotFound(msg)
        journal = SqliteJournal(path, read_only=True)
        for fault in journal.quick_faults(ALIVE):
            complain(f"the journal is damaged, see `understudy db verify`: {fault.sentence}")
        return cls(journal, complain)

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def run(self, run_id: str) -> RunRecord:
        """Give one run.

        Raises:
            RunNotFound: There is none with this id.
        """
        row = self.journal.run(run_id)
        if row is None:
            raise self._not_found(run_id)
        last = self.journal.events(run_id, after=row.last_seq - 1)[:1] if row.status == "failed" else []
        failure = next((each.event.failure for each in last if isinstance(each.event, RunHasFailed)), None)
        return run_record(row, failure)

    def _not_found(self, run_id: str) -> RunNotFound:
        known = [row.id for row in self.journal.runs(kind="run", limit=1000)]
        close = difflib.get_close_matches(run_id, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return RunNotFound(f"there is no run {run_id!r}{hint}")

    def runs(
        self, status: RunStatus | Sequence[RunStatus] | None = None, name: str | None = None, limit: int | None = 100
    ) -> list[RunRecord]:
        """Give the newest runs first, of one or several statuses and one workflow where asked for."""
        statuses = (status,) if isinstance(status, str) else status
        return [run_record(row) for row in self.journal.runs(status=statuses, workflow=name, kind="run", limit=limit)]

    def fold(self, run_id: str) -> RunState:
        """Give the state of a run.

        Raises:
            RunNotFound: There is none with this id.
            JournalCorrupt: Its events are not what was written.
        """
        if is_schedule(run_id):
            raise self._not_found(run_id)
        try:
            return load(self.journal, run_id)
        except LookupError:
            raise self._not_found(run_id) from None

    def steps(self, run_id: str) -> list[StepRecord]:
        """Give the steps of a run with their attempts, in the order in which they were asked for."""
        return step_records(self.fold(run_id))

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        """Give the events of a run with sequence numbers above ``after``; see ``Journal.events``.

        Raises:
            RunNotFound: There is no such run.
        """
        stored = self.journal.events(run_id, after=after, limit=limit, most_bytes=most_bytes)
        if not stored and self.journal.run(run_id) is None:
            raise self._not_found(run_id)
        return stored

    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
        """Give the questions that wait for a person, of all runs or of one and its children, the oldest first.

        No run is folded for it: the journal finds open questions by their marks.

        Raises:
            RunNotFound: There is no such run.
        """
        if run_id is not None and self.journal.run(run_id) is None:
            raise self._not_found(run_id)
        found: list[ApprovalRecord] = []
        for mark in self.journal.marks("approval"):
            with self._one_of_many(mark):
                row = self.journal.run(mark.run_id)
                if row is not None and (run_id is None or self._is_below(row, run_id)):
                    found.append(approval_record(mark.run_id, row.workflow, self._asked(mark)))
        return sorted(found, key=lambda record: (record.asked_at, record.id))

    def _is_below(self, row: RunRow, run_id: str) -> bool:
        """Whether a run is another one, its child, or a child of that."""
        above: RunRow | None = row
        while above is not None and above.id != run_id:
            above = None if above.parent is None else self.journal.run(above.parent)
        return above is not None

    @contextmanager
    def _one_of_many(self, mark: Mark) -> Generator[None]:
        """Leave what is damaged out of a list, with a word about it, so that the others are seen."""
        try:
            yield
        except JournalCorrupt as error:
            kind = mark.kind.replace("_", " ")
            self._complain(f"the {kind} {mark.name!r} of run {mark.run_id} is not listed: {error}")

    def find_approval(self, approval: str) -> Asked:
        """Find what an approval's id stands for.

        Raises:
            ApprovalNotFound: No run has this id's first part.
        """
        run_id, key = split_approval_id(approval)
        row = self.journal.run(run_id) if run_id else None
        if row is None:
            close = difflib.get_close_matches(approval, [record.id for record in self.approvals()], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "; see `understudy approvals list`"
            msg = f"there is no approval {approval!r}{hint}"
            raise ApprovalNotFound(msg)
        marks = self.journal.marks("approval", run_id, key)
        return Asked(run_id, row.app, key, self._asked(marks[0]) if marks else None)

    def _asked(self, mark: Mark) -> ApprovalAsked:
        event: ApprovalAsked = marked_event(self.journal, mark)
        return event

    def state(self, run_id: str) -> Json:
        """Give the shared state of a run, None where its workflow has none or has not changed it yet."""
        return self.fold(run_id).shared

    def result(self, run_id: str) -> Json:
        """Give the result of a run that has completed.

        Raises:
            RunFailed: It failed.
            RunCancelled: It was cancelled.
            RunParked: It waits for a person.
            TimeoutError: It has not ended.
        """
        row = self.journal.run(run_id)
        if row is not None and row.status == "completed":  # nothing follows a run's end, so its last event says it all
            last = self.journal.events(run_id, after=row.last_seq - 1)[0].event
            if isinstance(last, RunCompleted):
                return last.result
        return result_of(self.fold(run_id))

    def difference(self, a: str, b: str) -> Difference | None:
        """Give where two runs first differ, None where they do not.

        Raises:
            RunNotFound: One of them does not exist.
        """
        return first_difference(self.fold(a), self.fold(b))

    def session(self, run_id: str) -> SessionRecord:
        """Give one session.

        Raises:
            RunNotFound: It has not been opened.
        """
        row = self.journal.run(run_id)
        if row is None or row.kind != "session":
            msg = f"there is no session {run_id!r}: its first message opens it"
            raise RunNotFound(msg)
        return session_record(row)

    def sessions(self, name: str | None = None, limit: int | None = 100) -> list[SessionRecord]:
        """Give the sessions, of one handler or of all, the one that was opened last first."""
        return [session_record(row) for row in self.journal.runs(workflow=name, kind="session", limit=limit)]

    def session_state(self, run_id: str) -> Json:
        """Give the state of a session; None before its first turn has ended."""
        return None if self.journal.run(run_id) is None else load(self.journal, run_id).shared

    def history(self, run_id: str) -> list[TurnRecord]:
        """Give the messages of a session with what came of each; none where it has not been opened."""
        return turn_records(stored_events(self.journal, run_id))

    def dead_letters(self) -> list[DeadLetterRecord]:
        """Give the messages and steps that were set aside and nobody has dealt with, by run and in order."""
        found: list[DeadLetterRecord] = []
        for mark in self.journal.marks("dead_letter"):
            with self._one_of_many(mark):
                found.append(dead_letter(mark.run_id, marked_event(self.journal, mark)))
        return found

    def metrics(self) -> Metrics:
        """Fold every run of the journal to figures."""
        rows = self.journal.runs(kind="run", limit=None)
        return figures((row.workflow, stored_events(self.journal, row.id)) for row in rows)


def result_of(state: RunState) -> Json:
    """Give a run's result, or raise what stands in its place (see ``Reads.result``)."""
    if state.ended == "completed":
        return state.result
    if state.ended == "failed":
        step, attempts = failed_at(state)
        place = f" at step {step}" if step is not None and step not in (state.reason or "") else ""
        failed = RunFailed(
            f"run {state.run_id} failed{place}: {state.reason}", run_id=state.run_id, step=step, attempts=attempts
        )
        raise failed if state.failure is None else pointed(failed, state.failure)
    if state.ended == "cancelled":
        raise RunCancelled(f"run {state.run_id} was cancelled" + (f": {state.reason}" if state.reason else ""))
    if state.halted == "parked":
        msg = (
            f"run {state.run_id} is parked: {state.reason}; once that is mended, it goes on with "
            f"`understudy run FILE.py:{state.workflow} --id {state.run_id}`, or with its handle's resume()"
        )
        raise RunParked(msg)
    msg = f"run {state.run_id} has not ended: it is {state.status}"
    raise TimeoutError(msg)
