"""Schedules over HTTP: reading them. Commands on schedules are in ``dashboard.routes.commands``."""

from typing import Any

from fastapi import APIRouter, Request, Response

from greenroom.dashboard.dependencies import AtDesk
from greenroom.dashboard.paths import Segment
from greenroom.dashboard.routes.pagination import MANY, Cursor, Limit, answer_page, cut, paged
from greenroom.messages.commands import ListSchedules, Schedules
from greenroom.messages.events.schedules import ScheduleRecord

router = APIRouter(tags=["schedules"])


@router.get("/schedules", response_class=Response, responses={**paged(ScheduleRecord, "The schedules, by name.")})
async def list_schedules(desk: AtDesk, request: Request, limit: Limit = MANY, cursor: Cursor = None) -> Any:
    """List all schedules by name, each with its next times and what became of the last ones."""
    reply = await desk.send(ListSchedules())
    assert isinstance(reply, Schedules)
    page = cut(reply.schedules, "schedules", limit, cursor, lambda each: (each.name,), (str,))
    return await answer_page(desk, request, lambda: page)


@router.get("/schedules/{name}")
async def show_schedule(desk: AtDesk, name: Segment) -> ScheduleRecord:
    """Return a schedule with its next times and what became of the last ones."""
    reply = await desk.send(ListSchedules(name=name))
    assert isinstance(reply, Schedules)
    return reply.schedules[0]
