"""Sessions and dead letters over HTTP: sending messages, and reading."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from greenroom.dashboard.dependencies import AtDesk
from greenroom.dashboard.paths import Segment
from greenroom.dashboard.responses.problems import Refusal
from greenroom.dashboard.routes.pagination import MANY, Cursor, Limit, answer_page, numbered, paged
from greenroom.dashboard.routes.results import STREAMED, LastEventId, answer_stream
from greenroom.dashboard.routes.runs import OfCall, as_object
from greenroom.messages.commands import Accepted, AskSession, TellSession, TurnAnswered
from greenroom.messages.core.message import Json
from greenroom.messages.records.records import DeadLetterRecord, RunStatus, SessionDetail, SessionRecord, TurnRecord
from greenroom.messages.transcript import TranscriptMessage

router = APIRouter(tags=["sessions"])
letters = APIRouter(tags=["dead letters"])

LONGEST_WAIT: Final = 300.0
"""Longest wait of one request for a reply, in seconds."""


class Post(BaseModel):
    """A message to a session."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"message": {"text": "hello"}, "timeout": 30.0}]}
    )

    message: Json = Field(description="The message, as one of the types that the handler takes.")
    type: str = Field(default="", description="Of the message; needed where the message alone does not say it.")
    reply: bool = Field(default=True, description="Whether to wait for the reply, or only until it is on the disk.")
    timeout: float = Field(default=60.0, gt=0, le=LONGEST_WAIT, description="Seconds to wait for the reply.")


class SessionState(BaseModel):
    """The state of a session."""

    state: Json = Field(description="null before its first turn has ended.")


@router.get("/sessions", response_class=Response, responses={**paged(SessionRecord, "The sessions.")})
async def list_sessions(
    desk: AtDesk,
    request: Request,
    name: Annotated[str | None, Query(description="Only sessions of this handler.")] = None,
    status: Annotated[
        list[RunStatus] | None, Query(description="Only sessions of this status; may be repeated.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """List sessions, the one opened last first."""
    return await answer_page(desk, request, lambda: desk.reads.sessions(name, limit, status, cursor))


@router.get("/sessions/{name}/{key}", response_model=SessionDetail)
async def show_session(desk: AtDesk, name: Segment, key: Segment) -> Response:
    """Return a session with its state, the number of waiting messages, and its newest turn."""
    return await desk.answer(lambda: as_object(desk.reads.session_detail(f"{name}/{key}")))


@router.post(
    "/sessions/{name}/{key}",
    responses={202: {"model": Accepted, "description": "It is on the disk; nobody waits for a reply."}},
)
async def post_message(
    desk: AtDesk,
    name: Segment,
    key: Segment,
    post: Post,
    response: Response,
    idempotency_key: Annotated[
        str, Header(max_length=255, description="A message with the key of an earlier one is that message.")
    ] = "",
) -> TurnAnswered | Accepted:
    """Send a message to a session and wait for the reply. The first message opens the session."""
    fields: dict[str, Any] = {
        "app": await desk.find_session(name),
        "session": name,
        "session_key": key,
        "name": post.type,
        "value": post.message,
        "key": idempotency_key or None,
    }
    if not post.reply:
        accepted = await desk.send(TellSession(**fields))
        assert isinstance(accepted, Accepted)
        response.status_code = 202
        return accepted
    answered = await desk.send(AskSession(**fields, timeout=post.timeout))
    assert isinstance(answered, TurnAnswered)
    if answered.failure is not None:
        detail = f"message {answered.number} to session {name}/{key} failed: {answered.failure}"
        raise Refusal("turn_failed", detail, run_id=answered.run_id, step=answered.step, failure=answered.raised)
    return answered


@router.get("/sessions/{name}/{key}/state", response_model=SessionState)
async def show_session_state(desk: AtDesk, name: Segment, key: Segment) -> Response:
    """Return the state as of the newest completed turn."""
    run_id = f"{name}/{key}"
    return await desk.answer(lambda: as_object(SessionState(state=desk.reads.session_state(run_id))))


@router.get(
    "/sessions/{name}/{key}/transcript",
    response_class=Response,
    responses={**paged(TranscriptMessage, "The messages, oldest first.")},
)
async def list_session_transcript(
    desk: AtDesk,
    request: Request,
    name: Segment,
    key: Segment,
    step: OfCall = None,
    limit: Limit = MANY,
    cursor: Cursor = None,
) -> Any:
    """List the messages of a session's conversation with a model, over all of its turns."""
    messages = partial(desk.reads.transcript, f"{name}/{key}", step)
    return await answer_page(desk, request, lambda: numbered(messages(), "transcript", limit, cursor))


@router.get(
    "/sessions/{name}/{key}/history",
    response_class=Response,
    responses={**paged(TurnRecord, "The messages, with what came of each.")},
)
async def list_turns(
    desk: AtDesk, request: Request, name: Segment, key: Segment, limit: Limit = MANY, cursor: Cursor = None
) -> Any:
    """List all messages so far in order, each with its outcome."""
    turns = partial(desk.reads.history, f"{name}/{key}")
    return await answer_page(desk, request, lambda: numbered(turns(), "turns", limit, cursor))


@router.get(
    "/sessions/{name}/{key}/stream",
    response_class=Response,
    responses={
        200: STREAMED,
        204: {"description": "The session is closed, and everything of it was seen: do not come back."},
    },
)
async def stream_session_events(desk: AtDesk, name: Segment, key: Segment, last_event_id: LastEventId = 0) -> Any:
    """Send the events of a session, beginning with past ones, until it is closed."""
    run_id = f"{name}/{key}"
    await desk.look(desk.reads.session, run_id)
    return await answer_stream(desk, run_id, last_event_id)


@letters.get(
    "/dead-letters",
    response_class=Response,
    responses={**paged(DeadLetterRecord, "What was set aside, by run and in order.")},
)
async def list_dead_letters(desk: AtDesk, request: Request, limit: Limit = MANY, cursor: Cursor = None) -> Any:
    """List the messages and steps that were set aside and are still open."""
    return await answer_page(desk, request, lambda: desk.reads.dead_letters(limit, cursor))
