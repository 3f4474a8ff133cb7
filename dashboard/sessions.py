"""Sessions and dead letters over HTTP: looking at them."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from understudy.dashboard.desk import AtDesk
from understudy.dashboard.paths import Segment
from understudy.messages.base import Json
from understudy.messages.records import DeadLetterRecord, SessionRecord, TurnRecord

router = APIRouter()


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


@router.get("/sessions/{name}/{key}/state")
async def show_state(desk: AtDesk, name: Segment, key: Segment) -> SessionState:
    """Give the state as of the newest turn that has ended."""
    return SessionState(state=await desk.look(desk.reads.session_state, f"{name}/{key}"))


@router.get("/sessions/{name}/{key}/history")
async def show_history(desk: AtDesk, name: Segment, key: Segment) -> list[TurnRecord]:
    """Give every message so far, in order, with what came of each."""
    return await desk.look(desk.reads.history, f"{name}/{key}")


@router.get("/dead-letters")
async def list_dead_letters(desk: AtDesk) -> list[DeadLetterRecord]:
    """List the messages and steps that were set aside and nobody has dealt with."""
    return await desk.look(desk.reads.dead_letters)
