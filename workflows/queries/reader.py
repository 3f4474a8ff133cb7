"""Reads of runs and sessions from a journal, with or without an orchestrator."""

import difflib
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from loguru import logger
from typing_extensions import override

from greenroom.journal.event_pages import PAGE, stored_events
from greenroom.journal.interface import EntryKind, Journal, RunRow, Stored
from greenroom.journal.sqlite.errors import JournalUnused
from greenroom.journal.sqlite.file import refuse_strangers
from greenroom.journal.sqlite.journal import SqliteJournal
from greenroom.messages.advice import start_a_run, verify
from greenroom.messages.core.errors import (
    RunNotFound,
    RunParked,
    none_such,
)
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.message import Json
from greenroom.messages.events.events import (
    AnswerRated,
    AnswerSampled,
    AnyEvent,
    RunCompleted,
    RunRetried,
    StateChanged,
    TurnEnded,
    TurnFailed,
)
from greenroom.messages.events.events import RunFailed as RunHasFailed
from greenroom.messages.ids import text_given
from greenroom.messages.records.pages import Page, Place, bad_cursor, check_limit, read_cursor, write_cursor
from greenroom.messages.records.records import (
    ALIVE,
    AT_WORK,
    OVER,
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
    check_status,
)
from greenroom.messages.transcript import TranscriptMessage
from greenroom.workflows.home.home import Home, is_unused
from greenroom.workflows.output.log_files import folder_of, read_lines
from greenroom.workflows.queries.approvals import Asked, find_approval, open_approvals
from greenroom.workflows.queries.event_marks import marked_event, one_of_many
from greenroom.workflows.queries.interface import Queries
from greenroom.workflows.queries.load import load
from greenroom.workflows.queries.records.run_records import decision_records, run_record, step_records
from greenroom.workflows.queries.records.session_records import (
    LOOK_BACK,
    dead_letter,
    last_turn,
    session_detail,
    session_record,
    turn_records,
)
from greenroom.workflows.queries.results import result_of
from greenroom.workflows.queries.run_diff import first_difference
from greenroom.workflows.queries.transcripts.transcripts import read_transcript
from greenroom.workflows.schedules.queries import is_schedule
from greenroom.workflows.state.run_state import RunState

if TYPE_CHECKING:
    from greenroom.metrics.figure_records import Metrics


def _log(sentence: str) -> None:
    logger.error("{}", sentence)


def _unknown(_app: str) -> str | None:
    """Know of no reason to wait."""
    return None


class JournalQueries(Queries):
    """Reads of runs and sessions from their journal. Thread-safe. Records are folded from committed events."""

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
        """Read from ``journal``.

        Args:
            journal: The journal.
            complain: Called with a sentence about each damaged entry that is left out of a list.
            output: Folder with the output of runs; None if it is not kept.
            flush: Waits until the output of workers so far is in the folder, if they belong to this process.
            home: The home that advised commands name; None to name none.
            anywhere: Whether records are for readers in other folders.
            waits: Returns why runs of an app wait, for reasons not in the journal, such as an import.
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
        """Open the journal of a home, read-only.

        Raises:
            RunNotFound: The home has no journal yet.
            JournalError: The journal cannot be read.
        """
        path = home.journal
        refuse_strangers(path)  # it names code, which `greenroom check` runs
        if not path.exists() or is_unused(path):
            raise _no_runs(home, path)
        try:
            journal = SqliteJournal(path, read_only=True)
        except JournalUnused as error:
            raise _no_runs(home, path) from error
        for fault in journal.quick_faults(ALIVE):
            complain(home.placed(f"the journal is damaged, see {verify()}: {fault.sentence}"))
        return cls(journal, complain, output=folder_of(path), home=home)

    def for_elsewhere(self) -> "JournalQueries":
        """Return the same reads for readers in another folder or process."""
        return JournalQueries(
            self.journal, self._complain, output=self._output, flush=self._flush, home=self._home, anywhere=True
        )

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @override
    def run(self, run_id: str) -> RunRecord:
        row = self._row(run_id)
        if row.status != "failed" and row.updated_at == (row.ended_at or row.updated_at):
            return self._record(row)  # nothing has followed its end
        end, scores = self._end_of(row)
        record = self._record(row, end.failure if isinstance(end, RunHasFailed) else None)
        evaluations = tuple(each for event in scores if not event.key for each in event.evaluations)
        return record.model_copy(update={"evaluations": evaluations}) if evaluations else record

    @override
    def is_over(self, run_id: str) -> bool:
        return self._row(run_id).status in OVER

    def _row(self, run_id: str) -> RunRow:
        """Return the line of a run in the index. Raise ``TypeError`` for what is not an id, such as a handle."""
        row = self.journal.run(text_given("the id of a run", run_id))
        if row is None:
            raise self._not_found(run_id)
        return row

    def _end_of(self, row: RunRow) -> tuple[AnyEvent | None, list[AnswerRated]]:
        """Return a run's last event that is not about background scores, and the scores that were recorded since."""
        scores: list[AnswerRated] = []
        before, many = row.last_seq, 1
        while before > 0:
            after = max(0, before - many)
            for stored in reversed(self.journal.events(row.id, after=after, limit=before - after)):
                event = stored.event
                if isinstance(event, AnswerRated):
                    scores.insert(0, event)
                elif not isinstance(event, AnswerSampled):
                    return event, scores
            before, many = after, LOOK_BACK
        return None, scores

    def _record(self, row: RunRow, failure: Failure | None = None) -> RunRecord:
        """Return the record of an entry in the index."""
        record = run_record(row, failure)
        if record.status in AT_WORK and record.reason is None and (waits := self._waits(record.app)) is not None:
            return record.model_copy(update={"reason": waits})
        return record if record.reason is None else record.model_copy(update={"reason": self._reason(record.reason)})

    def _session(self, row: RunRow) -> SessionRecord:
        record = session_record(row)
        return record if record.reason is None else record.model_copy(update={"reason": self._reason(record.reason)})

    def _reason(self, recorded: str) -> str:
        """Return a reason whose advised commands work where the record is read."""
        return recorded if self._home is None else self._home.placed(recorded, anywhere=self._anywhere)

    def _placed(self, text: str) -> str:
        return text if self._home is None else self._home.placed(text)

    def _not_found(self, run_id: str) -> RunNotFound:
        known = [row.id for row in self.journal.runs(kind="run", limit=1000)]
        close = difflib.get_close_matches(run_id, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return RunNotFound(none_such(run_id) + hint)

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
        """Return a page of the index. New entries come before the first page, and shift no other."""
        check_limit(limit)
        check_status(status)
        if name is not None:
            text_given("name", name)
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
        """Return the state of a run.

        Raises:
            RunNotFound: There is no run with this id.
            JournalCorrupt: Its events are damaged.
        """
        if is_schedule(run_id):
            raise self._not_found(run_id)
        try:
            return load(self.journal, run_id)
        except LookupError:
            raise self._not_found(run_id) from None

    @override
    def steps(self, run_id: str, after: int = 0, limit: int | None = None) -> list[StepRecord]:
        return step_records(self.fold(run_id), after, limit)

    @override
    def transcript(self, run_id: str, step: str | None = None) -> list[TranscriptMessage]:
        if is_schedule(self._row(run_id).id):
            raise self._not_found(run_id)
        return read_transcript(run_id, stored_events(self.journal, run_id), step)

    @override
    def events(
        self, run_id: str, after: int = 0, limit: int | None = None, most_bytes: int | None = None
    ) -> list[Stored]:
        stored = self.journal.events(run_id, after=after, limit=limit, most_bytes=most_bytes)
        if not stored:
            self._row(run_id)
        return stored

    @override
    def logs(self, run_id: str, after: int = 0, limit: int | None = None, step: str | None = None) -> list[LogLine]:
        self._row(run_id)
        if self._flush is not None:
            self._flush()
        return list(islice(read_lines(self._output, run_id, after, step), limit)) if self._output is not None else []

    @override
    def approvals(self, run_id: str | None = None) -> list[ApprovalRecord]:
        if run_id is not None:
            self._row(run_id)
        return open_approvals(self.journal, run_id, self._complain)

    def decisions(self, run_id: str) -> list[DecisionRecord]:
        """Return the decisions of a run's approvals, in order."""
        return decision_records(run_id, stored_events(self.journal, run_id))

    def find_approval(self, approval: str) -> Asked:
        """Return the approval with an id.

        Raises:
            ApprovalNotFound: The run that the id names does not exist.
        """
        return find_approval(self.journal, approval, self._complain, self._placed)

    @override
    def state(self, run_id: str) -> Json:
        if is_schedule(run_id):
            raise self._not_found(run_id)
        before, many = self._row(run_id).last_seq, LOOK_BACK
        while before > 0:  # each change is recorded whole, so the newest one is enough
            after = max(0, before - many)
            for stored in reversed(self.journal.events(run_id, after=after, limit=before - after)):
                if isinstance(stored.event, (StateChanged, RunRetried, TurnEnded, TurnFailed)):
                    return stored.event.state
            before, many = after, min(2 * many, PAGE)
        return None

    @override
    def result(self, run_id: str) -> Json:
        row = self.journal.run(run_id)
        if row is not None and row.status == "completed":  # what ended a run holds its result
            end, _ = self._end_of(row)
            if isinstance(end, RunCompleted):
                return end.result
        try:
            return result_of(self.fold(run_id))
        except RunParked as error:
            raise RunParked(self._placed(str(error))) from None

    def difference(self, a: str, b: str) -> Difference | None:
        """Return the first difference of two runs; None if there is none.

        Raises:
            RunNotFound: One of them does not exist.
        """
        return first_difference(self.fold(a), self.fold(b))

    @override
    def session(self, run_id: str) -> SessionRecord:
        return self._session(self._session_row(run_id))

    def session_detail(self, run_id: str) -> SessionDetail:
        """Return one session with its state, its waiting messages, and its newest turn.

        Raises:
            RunNotFound: The session has not been opened.
        """
        row = self._session_row(run_id)
        state = load(self.journal, run_id)
        detail = session_detail(row, state, last_turn(self.journal, run_id, state))
        return detail if detail.reason is None else detail.model_copy(update={"reason": self._reason(detail.reason)})

    def _session_row(self, run_id: str) -> RunRow:
        row = self.journal.run(run_id)
        if row is None or row.kind != "session":
            raise RunNotFound(none_such(run_id))
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
            with one_of_many(mark, self._complain):
                found.append(dead_letter(mark.run_id, marked_event(self.journal, mark)))
                last = place
        return Page(found)

    @override
    def metrics(self) -> "Metrics":
        from greenroom.metrics.figures import figures, figures_of  # noqa: PLC0415  rarely needed
        from greenroom.metrics.ledger import sums_of  # noqa: PLC0415

        with self.journal.account() as account:
            if (sums := sums_of(account)) is not None:
                return figures_of(sums)
        self._complain(self._placed(f"the saved sums over events are damaged, so all events are read: see {verify()}"))
        rows = self.journal.runs(kind="run", limit=None)
        return figures((row.workflow, stored_events(self.journal, row.id)) for row in rows)


def _no_runs(home: Home, path: Path) -> RunNotFound:
    what = f"the home {home.path} has no journal yet" if path.parent == home.path else f"there is no {path}"
    if is_unused(path):
        what = f"{path} is an empty file, which no orchestrator has used yet"
    return RunNotFound(home.placed(f"there are no runs: {what}; start one with {start_a_run()}"))
