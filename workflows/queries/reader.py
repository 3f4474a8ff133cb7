"""Looking at runs without touching them: reads of the journal, with an orchestrator running or not."""

import difflib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from loguru import logger
from typing_extensions import override

from greenroom.actors.failures.reconstruction import pointed
from greenroom.journal.event_pages import stored_events
from greenroom.journal.interface import EntryKind, Journal, Mark, RunRow, Stored
from greenroom.journal.sqlite.file import refuse_strangers
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.advice import go_on, list_approvals, start_a_run, verify
from greenroom.messages.approvals import split_approval_id
from greenroom.messages.core.errors import (
    ApprovalNotFound,
    JournalCorrupt,
    RunCancelled,
    RunFailed,
    RunNotFound,
    RunParked,
)
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import ApprovalAsked, RunCompleted
from greenroom.messages.events.events import RunFailed as RunHasFailed
from greenroom.messages.pages import Page, Place, bad_cursor, check_limit, read_cursor, write_cursor
from greenroom.messages.records import (
    ALIVE,
    AT_WORK,
    ApprovalRecord,
    DeadLetterRecord,
    DecisionRecord,
    Difference,
    LogLine,
    RunRecord,
    RunStatus,
    SessionDetail,
    SessionRecord,
    StepRecord,
    TurnRecord,
)
from greenroom.metrics.figures import Metrics, figures
from greenroom.workflows.home.home import Home
from greenroom.workflows.output.log_files import folder_of, read_lines
from greenroom.workflows.queries.approvals import Asked
from greenroom.workflows.queries.event_marks import marked_event
from greenroom.workflows.queries.interface import Queries
from greenroom.workflows.queries.records import approval_record, decision_records, failed_at, run_record, step_records
from greenroom.workflows.queries.run_diff import first_difference
from greenroom.workflows.queries.session_records import (
    dead_letter,
    last_turn,
    session_detail,
    session_record,
    turn_records,
)
from greenroom.workflows.schedules.queries import is_schedule
from greenroom.workflows.state.fold import fold_all, recall
from greenroom.workflows.state.run_state import RunState


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


def _unknown(_app: str) -> str | None:
    """Know of nothing but the journal."""
    return None


class JournalQueries(Queries):
    """Answers questions about runs from their journal. Any thread.

    Everything it gives is committed: a view is the fold of what is on the disk.
    """

    def __init__(
        self,
        journal: Journal,
        complain: Callable[[str], None] = _log,
        *,
        output: Path | None = None,
        flush: Callable[[], None] | None = None,
        home: Home | None = None,
        anywhere: bool = False,
        waits: Callable[[str], str | None] = _unknown,
    ) -> None:
        """Read from ``journal``, which stays its owner's to close.

        Args:
            journal: What to read.
            complain: Called with a sentence where something is damaged and the answer goes without it.
            output: Where output of the runs is kept; None where it is not.
            flush: Waits until what workers have written is there. Given where they are this process's.
            home: Where commands lead that are advised; None where nobody gets to read any.
            anywhere: Whether records may be read in other folders than this process's.
            waits: Says what runs of an app wait for that no journal knows of, such as its import.
        """
        self.journal = journal
        self._waits = waits
        self._complain = complain
        self._output = output
        self._flush = flush
        self._home = home
        self._anywhere = anywhere

    @classmethod
    def open(cls, home: Home, complain: Callable[[str], None] = _log) -> Self:
        """Open the journal of a home for reading alone.

        Raises:
            RunNotFound: The home has no journal yet.
            JournalError: The journal cannot be read.
        """
        path = home.journal
        refuse_strangers(path)  # it names code, which `greenroom check` runs
        if not Path(path).exists():
            what = f"the home {home.path} has no journal yet" if path.parent == home.path else f"there is no {path}"
            raise RunNotFound(home.placed(f"there are no runs: {what}; start one with {start_a_run()}"))
        journal = SqliteJournal(path, read_only=True)
        for fault in journal.quick_faults(ALIVE):
            complain(home.placed(f"the journal is damaged, see {verify()}: {fault.sentence}"))
        return cls(journal, complain, output=folder_of(path), home=home)

    def for_elsewhere(self) -> "JournalQueries":
        """Give the same looks for whoever reads in another folder, or process, what these give."""
        return JournalQueries(
            self.journal, self._complain, output=self._output, flush=self._flush, home=self._home, anywhere=True
        )

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

    @override
    def run(self, run_id: str) -> RunRecord:
        row = self.journal.run(run_id)
        if row is None:
            raise self._not_found(run_id)
        last = self.journal.events(run_id, after=row.last_seq - 1)[:1] if row.status == "failed" else []
        failure = next((each.event.failure for each in last if isinstance(each.event, RunHasFailed)), None)
        return self._record(row, failure)

    def _record(self, row: RunRow, failure: Failure | None = None) -> RunRecord:
        """Give a line of the index as people read it, wherever they do."""
        record = run_record(row, failure)
        if record.status in AT_WORK and record.reason is None and (waits := self._waits(record.app)) is not None:
            return record.model_copy(update={"reason": waits})
        return record if record.reason is None else record.model_copy(update={"reason": self._reason(record.reason)})

    def _session(self, row: RunRow) -> SessionRecord:
        record = session_record(row)
        return record if record.reason is None else record.model_copy(update={"reason": self._reason(record.reason)})

    def _reason(self, recorded: str) -> str:
        """Give a reason as it can be read anywhere: records go a long way."""
        return recorded if self._home is None else self._home.placed(recorded, anywhere=self._anywhere)

    def _placed(self, text: str) -> str:
        return text if self._home is None else self._home.placed(text)

    def _not_found(self, run_id: str) -> RunNotFound:
        known = [row.id for row in self.journal.runs(kind="run", limit=1000)]
        close = difflib.get_close_matches(run_id, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return RunNotFound(f"there is no run {run_id!r}{hint}")

    @override
    def runs(
        self,
        status: RunStatus | Sequence[RunStatus] | None = None,
        name: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
    ) -> Page[RunRecord]:
        rows = self._rows("run", status, name, limit, cursor)
        return Page(map(self._record, rows), rows.next)

    def _rows(
        self,
        kind: EntryKind,
        status: RunStatus | Sequence[RunStatus] | None,
        name: str | None,
        limit: int | None,
        cursor: str | None,
    ) -> Page[RunRow]:
        """Give lines of the index. One that is added meanwhile comes before them all, and moves none of them."""
        check_limit(limit)
        of = f"{kind}s"
        after = None if cursor is None else str(read_cursor(of, cursor, (str,))[0])
        statuses = (status,) if isinstance(status, str) else status
        more = None if limit is None else limit + 1
        try:
            rows = self.journal.runs(status=statuses, workflow=name, kind=kind, limit=more, after=after)
        except LookupError:
            raise bad_cursor(of) from None
        if limit is None or len(rows) <= limit:
            return Page(rows)
        return Page(rows[:limit], write_cursor(of, (rows[limit - 1].id,)))

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

    @override
    def steps(self, run_id: str) -> list[StepRecord]:
        return step_records(self.fold(run_id))

    @override
    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        stored = self.journal.events(run_id, after=after, limit=limit, most_bytes=most_bytes)
        if not stored and self.journal.run(run_id) is None:
            raise self._not_found(run_id)
        return stored

    @override
    def logs(self, run_id: str, after: int = 0, limit: int | None = None, step: str | None = None) -> list[LogLine]:
        if self.journal.run(run_id) is None:
            raise self._not_found(run_id)
        if self._flush is not None:
            self._flush()
        return list(islice(read_lines(self._output, run_id, after, step), limit)) if self._output is not None else []

    @override
    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
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

    def decisions(self, run_id: str) -> list[DecisionRecord]:
        """Give what people have decided for a run, in order."""
        return decision_records(run_id, stored_events(self.journal, run_id))

    def find_approval(self, approval: str) -> Asked:
        """Find what an approval's id stands for.

        Raises:
            ApprovalNotFound: No run has this id's first part.
        """
        run_id, key = split_approval_id(approval)
        row = self.journal.run(run_id) if run_id else None
        if row is None:
            close = difflib.get_close_matches(approval, [record.id for record in self.approvals()], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; see {list_approvals()}"
            msg = self._placed(f"there is no approval {approval!r}{hint}")
            raise ApprovalNotFound(msg)
        marks = self.journal.marks("approval", run_id, key)
        return Asked(run_id, row.app, key, self._asked(marks[0]) if marks else None)

    def _asked(self, mark: Mark) -> ApprovalAsked:
        event: ApprovalAsked = marked_event(self.journal, mark)
        return event

    @override
    def state(self, run_id: str) -> Json:
        return self.fold(run_id).shared

    @override
    def result(self, run_id: str) -> Json:
        row = self.journal.run(run_id)
        if row is not None and row.status == "completed":  # nothing follows a run's end, so its last event says it all
            last = self.journal.events(run_id, after=row.last_seq - 1)[0].event
            if isinstance(last, RunCompleted):
                return last.result
        try:
            return result_of(self.fold(run_id))
        except RunParked as error:
            raise RunParked(self._placed(str(error))) from None

    def difference(self, a: str, b: str) -> Difference | None:
        """Give where two runs first differ, None where they do not.

        Raises:
            RunNotFound: One of them does not exist.
        """
        return first_difference(self.fold(a), self.fold(b))

    @override
    def session(self, run_id: str) -> SessionRecord:
        return self._session(self._session_row(run_id))

    def session_detail(self, run_id: str) -> SessionDetail:
        """Give one session with its state, what waits, and its newest turn.

        Raises:
            RunNotFound: It has not been opened.
        """
        row = self._session_row(run_id)
        state = load(self.journal, run_id)
        detail = session_detail(row, state, last_turn(self.journal, run_id, state))
        return detail if detail.reason is None else detail.model_copy(update={"reason": self._reason(detail.reason)})

    def _session_row(self, run_id: str) -> RunRow:
        row = self.journal.run(run_id)
        if row is None or row.kind != "session":
            msg = f"there is no session {run_id!r}: its first message opens it"
            raise RunNotFound(msg)
        return row

    @override
    def sessions(
        self,
        name: str | None = None,
        limit: int | None = 100,
        status: RunStatus | Sequence[RunStatus] | None = None,
        cursor: str | None = None,
    ) -> Page[SessionRecord]:
        rows = self._rows("session", status, name, limit, cursor)
        return Page(map(self._session, rows), rows.next)

    @override
    def session_state(self, run_id: str) -> Json:
        return None if self.journal.run(run_id) is None else load(self.journal, run_id).shared

    @override
    def history(self, run_id: str) -> list[TurnRecord]:
        return turn_records(stored_events(self.journal, run_id))

    @override
    def dead_letters(self, limit: int | None = None, cursor: str | None = None) -> Page[DeadLetterRecord]:
        check_limit(limit)
        after = () if cursor is None else read_cursor("dead letters", cursor, (str, int, str))
        found: list[DeadLetterRecord] = []
        last: Place = ()
        for mark in self.journal.marks("dead_letter"):
            place = (mark.run_id, mark.seq, mark.name)
            if place <= after:
                continue
            if limit is not None and len(found) == limit:
                return Page(found, write_cursor("dead letters", last))
            with self._one_of_many(mark):
                found.append(dead_letter(mark.run_id, marked_event(self.journal, mark)))
                last = place
        return Page(found)

    @override
    def metrics(self) -> Metrics:
        rows = self.journal.runs(kind="run", limit=None)
        return figures((row.workflow, stored_events(self.journal, row.id)) for row in rows)


def result_of(state: RunState) -> Json:
    """Give a run's result, or raise what stands in its place (see ``JournalQueries.result``)."""
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
            f"{go_on(state.run_id)}, or with its handle's resume()"
        )
        raise RunParked(msg)
    msg = f"run {state.run_id} has not ended: it is {state.status}"
    raise TimeoutError(msg)
