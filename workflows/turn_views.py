"""Records of sessions for people: their lines in the index, their turns, and what was set aside."""

from collections.abc import Iterable
from typing import Any

from understudy.journal.protocol import RunRow, Stored
from understudy.messages.events import AnyEvent, MessageReceived, StepFailed, TurnEnded, TurnFailed
from understudy.messages.records import DeadLetterRecord, SessionRecord, TurnRecord
from understudy.workflows.fold import fold
from understudy.workflows.state import RunState
from understudy.workflows.views import iso, step_records


def session_record(row: RunRow) -> SessionRecord:
    """Give the record of a session's line in the index."""
    name, _, key = row.id.partition("/")
    return SessionRecord(
        name=name,
        key=key,
        app=row.app,
        status=row.status,
        opened_at=iso(row.started_at),
        updated_at=iso(row.updated_at),
        reason=row.reason,
        events=row.last_seq,
    )


def dead_letter(run_id: str, event: TurnFailed | StepFailed) -> DeadLetterRecord:
    """Give the record of a message or a step that was set aside."""
    at = iso(event.at)
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
    """Give a step's name from its key: ``search`` from ``1.2/search[eu]#3``."""
    return key.rpartition("/")[2].rpartition("#")[0].partition("[")[0]


def turn_records(events: Iterable[Stored]) -> list[TurnRecord]:
    """Give the messages among a session's events, in order, with what came of each."""
    state: RunState | None = None
    received: list[MessageReceived] = []
    ended: dict[int, dict[str, Any]] = {}
    for stored in events:
        event: AnyEvent = stored.event
        if isinstance(event, MessageReceived):
            received.append(event)
        elif isinstance(event, (TurnEnded, TurnFailed)):
            assert state is not None
            ended[event.number] = _ending(event, state)
        state = fold(state, event)
    if state is None:
        return []
    current = state.letter[0] if state.letter is not None and state.program is not None else 0
    return [
        TurnRecord(
            number=message.number,
            message_type=message.name,
            message=message.value,
            key=message.key,
            received_at=iso(message.at),
            **ended.get(message.number)
            or ({"status": "running", "steps": tuple(step_records(state))} if message.number == current else _WAITING),
        )
        for message in received
    ]


_WAITING: dict[str, Any] = {"status": "waiting"}


def _ending(event: TurnEnded | TurnFailed, state: RunState) -> dict[str, Any]:
    """Give what is known of a turn at its end, which the state is about to forget."""
    over: dict[str, Any] = {"ended_at": iso(event.at), "steps": tuple(step_records(state))}
    if isinstance(event, TurnEnded):
        return {"status": "answered", "reply": event.reply, **over}
    return {"status": "failed", "error": event.failure.told(), "failure": event.failure, **over}
