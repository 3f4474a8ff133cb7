"""Records of sessions, turns and dead letters."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from greenroom.journal.event_pages import EventSource
from greenroom.journal.interface import RunRow, Stored
from greenroom.messages.core.times import moment
from greenroom.messages.events.events import AnswerRated, AnyEvent, MessageReceived, StepFailed, TurnEnded, TurnFailed
from greenroom.messages.records.records import DeadLetterRecord, SessionDetail, SessionRecord, TurnRecord
from greenroom.workflows.queries.records.run_records import step_records
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import RunState

LOOK_BACK: Final = 32
"""Events to read at a time to find the message of a turn."""


def session_record(row: RunRow) -> SessionRecord:
    """Return the record of a session's entry in the index."""
    name, _, key = row.id.partition("/")
    return SessionRecord(
        name=name,
        key=key,
        app=row.app,
        status=row.status,
        opened_at=moment(row.started_at),
        updated_at=moment(row.updated_at),
        reason=row.reason,
        events=row.last_seq,
    )


def session_detail(row: RunRow, state: RunState, last: TurnRecord | None) -> SessionDetail:
    """Return the record of a session with its state and its waiting messages."""
    dealt_with = state.letter is not None and state.program is not None
    return SessionDetail(
        **session_record(row).model_dump(),
        state=state.shared,
        waiting=len(state.mailbox) - dealt_with,
        closed=state.closing > 0 or state.ended is not None,
        last_turn=last,
    )


def last_turn(book: EventSource, run_id: str, state: RunState) -> TurnRecord | None:
    """Return the newest ended turn of a session, without its steps. Its message is searched for backwards."""
    if state.turn_seq == 0:
        return None
    (stored,) = book.events(run_id, after=state.turn_seq - 1, limit=1)
    end = stored.event
    assert isinstance(end, (TurnEnded, TurnFailed))
    before = state.turn_seq - 1
    while before > 0:
        after = max(0, before - LOOK_BACK)
        for earlier in reversed(book.events(run_id, after=after, limit=before - after)):
            message = earlier.event
            if isinstance(message, MessageReceived) and message.number == end.number:
                return _turn_record(message, _ending(end))
        before = after
    return None


def dead_letter(run_id: str, event: TurnFailed | StepFailed) -> DeadLetterRecord:
    """Return the record of a dead letter."""
    at = moment(event.at)
    if isinstance(event, TurnFailed):
        return DeadLetterRecord(
            run_id=run_id,
            letter=str(event.number),
            kind="message",
            type=event.name,
            value=event.value,
            failure=event.failure,
            at=at,
        )
    return DeadLetterRecord(
        run_id=run_id, letter=event.key, kind="step", type=_name(event.key), failure=event.failure, at=at
    )


def _name(key: str) -> str:
    """Return a step's name from its key: ``search`` from ``1.2/search[eu]#3``."""
    return key.rpartition("/")[2].rpartition("#")[0].partition("[")[0]


def turn_records(events: Iterable[Stored]) -> list[TurnRecord]:
    """Return the messages of a session's events, in order, with the outcome of each."""
    state: RunState | None = None
    received: list[MessageReceived] = []
    ended: dict[int, dict[str, Any]] = {}
    late: list[AnswerRated] = []
    for stored in events:
        event: AnyEvent = stored.event
        if isinstance(event, MessageReceived):
            received.append(event)
        elif isinstance(event, (TurnEnded, TurnFailed)):
            assert state is not None
            ended[event.number] = {**_ending(event), "steps": tuple(step_records(state))}
        elif isinstance(event, AnswerRated) and event.turn in ended:
            late.append(event)
        state = fold(state, event)
    if state is None:
        return []
    for rated in late:
        _add_scores(ended[rated.turn], rated)
    current = state.letter[0] if state.letter is not None and state.program is not None else 0
    return [
        _turn_record(
            message,
            ended.get(message.number)
            or ({"status": "running", "steps": tuple(step_records(state))} if message.number == current else _WAITING),
        )
        for message in received
    ]


def _add_scores(over: dict[str, Any], rated: AnswerRated) -> None:
    """Add background scores to what is shown of a turn that has ended."""
    if not rated.key:
        over["evaluations"] = (*over.get("evaluations", ()), *rated.evaluations)
        return
    over["steps"] = tuple(
        step.model_copy(update={"evaluations": (*step.evaluations, *rated.evaluations)})
        if step.key == rated.key
        else step
        for step in over["steps"]
    )


_WAITING: dict[str, Any] = {"status": "waiting"}


def _turn_record(message: MessageReceived, more: Mapping[str, Any]) -> TurnRecord:
    """Return the record of a message and its outcome."""
    return TurnRecord(
        number=message.number,
        message_type=message.name,
        message=message.value,
        key=message.key,
        received_at=moment(message.at),
        **more,
    )


def _ending(event: TurnEnded | TurnFailed) -> dict[str, Any]:
    """Return the fields of a turn's record that its end sets."""
    over: dict[str, Any] = {"ended_at": moment(event.at)}
    if isinstance(event, TurnEnded):
        return {"status": "answered", "reply": event.reply, **over}
    return {"status": "failed", "error": event.failure.told(), "failure": event.failure, **over}
