"""Records of runs, steps and approvals, made from a run's state and events."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

from greenroom.journal.interface import RunRow, Stored
from greenroom.messages.core.failures import Failure
from greenroom.messages.core.times import moment
from greenroom.messages.events.events import (
    ApprovalAsked,
    ApprovalDecided,
    StepEmitted,
    ValueEmitted,
    ValuesDiscarded,
)
from greenroom.messages.records.approvals import approval_id
from greenroom.messages.records.attempts import AttemptRecord
from greenroom.messages.records.records import ApprovalRecord, DecisionRecord, RunRecord, StepRecord, StreamItem
from greenroom.workflows.state.run_state import Attempt, RunState, Step


def row_of(state: RunState) -> RunRow:
    """Return the entry in the index for a state."""
    return RunRow(
        id=state.run_id,
        workflow=state.workflow,
        app=state.app,
        status=state.status,
        started_at=state.started_at,
        updated_at=state.updated_at,
        ended_at=state.ended_at,
        parent=state.parent,
        reason=state.reason,
        kind=state.kind,
        wake_seq=state.wake_seq,
    )


def run_record(row: RunRow, failure: Failure | None = None) -> RunRecord:
    """Return the record of an entry in the index, with the failure if it is known."""
    return RunRecord(
        id=row.id,
        workflow=row.workflow,
        app=row.app,
        status=row.status,
        started_at=moment(row.started_at),
        updated_at=moment(row.updated_at),
        ended_at=moment(row.ended_at) if row.ended_at is not None else None,
        parent=row.parent,
        reason=row.reason,
        events=row.last_seq,
        failure=failure,
    )


def stream_items(events: Iterable[Stored], channel: str, after: int | None) -> Iterator[StreamItem]:
    """Yield the items of a channel at offsets above ``after``; None for all."""
    for stored in events:
        event = stored.event
        if not isinstance(event, (ValueEmitted, StepEmitted, ValuesDiscarded)):
            continue
        item = _stream_item(event, channel)
        if item is not None and (after is None or item.offset > after):
            yield item


def _stream_item(event: ValueEmitted | StepEmitted | ValuesDiscarded, channel: str) -> StreamItem | None:
    """Return the item that an event adds to a channel, or None if it adds none."""
    at = moment(event.at)
    if isinstance(event, ValuesDiscarded):
        offset = event.offsets.get(channel)
        if offset is None:
            return None
        return StreamItem(
            channel=channel, offset=offset, value=None, at=at, kind="discarded", step=event.key, attempt=event.attempt
        )
    if event.channel != channel:
        return None
    if isinstance(event, ValueEmitted):
        return StreamItem(channel=channel, offset=event.offset, value=event.value, at=at)
    kind: Literal["final", "partial"] = "final" if event.final else "partial"
    return StreamItem(
        channel=channel,
        offset=event.offset,
        value=event.value,
        at=at,
        kind=kind,
        step=event.key,
        attempt=event.attempt,
    )


def approval_record(run_id: str, workflow: str, event: ApprovalAsked) -> ApprovalRecord:
    """Return the record of an open approval."""
    return ApprovalRecord(
        id=approval_id(run_id, event.key),
        run_id=run_id,
        workflow=workflow,
        key=event.key,
        action=event.action,
        args=event.args,
        asked_at=moment(event.at),
        step=event.step,
        reason=event.reason,
    )


def decision_records(run_id: str, events: Iterable[Stored]) -> list[DecisionRecord]:
    """Return the decisions of a run's approvals, in order."""
    asked: dict[str, ApprovalAsked] = {}
    found: list[DecisionRecord] = []
    for stored in events:
        event = stored.event
        if isinstance(event, ApprovalAsked):
            asked[event.key] = event
        elif isinstance(event, ApprovalDecided):
            question = asked[event.key]
            found.append(
                DecisionRecord(
                    id=approval_id(run_id, event.key),
                    action=question.action,
                    asked=question.args,
                    decision=event.decision,
                    args=event.args,
                    by=event.by,
                    comment=event.comment,
                    decided_at=moment(event.at),
                )
            )
    return found


def step_records(state: RunState, after: int = 0, limit: int | None = None) -> list[StepRecord]:
    """Return the steps of a run in the order in which they were scheduled; see ``Queries.steps``."""
    end = None if limit is None else after + limit
    return [step_record(step) for step in islice(state.steps.values(), after, end)]


def failed_at(state: RunState) -> tuple[str | None, tuple[AttemptRecord, ...]]:
    """Return the key of the step whose failure ended a run, with its attempts; None if no step's failure did.

    If a child's failure ended the run, it is the step of that child, or of a child below it.
    """
    step = state.steps.get(state.failed_step or "")
    if step is not None:
        return step.key, tuple(_attempt_record(attempt) for attempt in step.attempts)
    for each in state.resolutions:
        if each.key in state.failed_calls and each.child_step is not None:
            return each.child_step, each.child_attempts
    return state.failed_step, ()


def step_record(step: Step) -> StepRecord:
    """Return the record of one step."""
    return StepRecord(
        name=step.name,
        key=step.key,
        kind=step.kind,
        status=step.status,
        attempts=tuple(_attempt_record(attempt) for attempt in step.attempts),
        arguments=step.arguments,
        result=step.result,
        evaluations=tuple(step.evaluations),
        judges_usage=step.judges_usage,
        flagged=step.flagged,
        scheduled_at=moment(step.scheduled_at),
        ended_at=moment(step.ended_at) if step.ended_at is not None else None,
        retry_at=moment(step.retry_at) if step.retry_at is not None else None,
    )


def _attempt_record(attempt: Attempt) -> AttemptRecord:
    failure = attempt.failure
    return AttemptRecord(
        number=attempt.number,
        worker=attempt.worker,
        pid=attempt.pid,
        started_at=moment(attempt.started_at),
        ended_at=moment(attempt.ended_at) if attempt.ended_at is not None else None,
        outcome=attempt.outcome,
        error=failure.sentence() if failure is not None else None,
        place=failure.place if failure is not None else "",
        traceback=failure.report() if failure is not None else "",
        exit=failure.exit if failure is not None else None,
        charged=attempt.charged,
        usage=attempt.usage,
        reserved=attempt.reserved,
        progress=attempt.progress,
    )
