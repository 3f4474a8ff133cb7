"""Sessions and dead letters over HTTP: talking to the ones, looking at both."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from understudy.dashboard.desk import AtDesk
from understudy.dashboard.paths import Segment
from understudy.dashboard.problems import Refusal
from understudy.dashboard.runs import as_array, as_object
from understudy.messages.base import Json
from understudy.messages.commands import Accepted, AskSession, TellSession, TurnAnswered
from understudy.messages.records import DeadLetterRecord, SessionRecord, TurnRecord

router = APIRouter()

LONGEST_WAIT: Final = 300.0
"""Seconds that one request for a reply may take."""


class Post(BaseModel):
    """A message to a session."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: Json
    type: str = Field(default="", description="Of the message; needed where the message alone does not say it.")
    reply: bool = Field(default=True, description="Whether to wait for the reply, or only until it is on the disk.")
    timeout: float = Field(default=60.0, gt=0, le=LONGEST_WAIT, description="Seconds to wait for the reply.")


class SessionState(BaseModel):
    """The state of a session."""

    state: Json
    """None before its first turn has ended."""


@router.get("/sessions")
async def list_sessions(
    desk: AtDesk,
    name: Annotated[str | None, Query(description="Only sessions of this handler.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> list[SessionRecord]:
    """List the sessions, the one that was opened last first."""
    return await desk.look(desk.reads.sessions, name, limit)


@router.get("/sessions/{name}/{key}")
async def show_session(desk: AtDesk, name: Segment, key: Segment) -> SessionRecord:
    """Give one session."""
    return await desk.look(desk.reads.session, f"{name}/{key}")


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
    """Send a session a message, which opens it where it is the first one, and wait for the reply."""
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
async def show_state(desk: AtDesk, name: Segment, key: Segment) -> Response:
    """Give the state as of the newest turn that has ended."""
    run_id = f"{name}/{key}"
    return await desk.answer(lambda: as_object(SessionState(state=desk.reads.session_state(run_id))))


@router.get("/sessions/{name}/{key}/history", response_model=list[TurnRecord])
async def show_history(desk: AtDesk, name: Segment, key: Segment) -> Response:
    """Give every message so far, in order, with what came of each."""
    return await desk.answer(lambda: as_array(desk.reads.history(f"{name}/{key}")))


@router.get("/dead-letters", response_model=list[DeadLetterRecord])
async def list_dead_letters(desk: AtDesk) -> Response:
    """List the messages and steps that were set aside and nobody has dealt with."""
    return await desk.answer(lambda: as_array(desk.reads.dead_letters()))
