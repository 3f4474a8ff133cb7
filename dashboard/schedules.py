"""Looks at schedules over HTTP; what is done to them is in the table of commands."""

from fastapi import APIRouter

from understudy.dashboard.desk import AtDesk
from understudy.dashboard.paths import Segment
from understudy.messages.commands import ListSchedules, Schedules
from understudy.messages.schedules import ScheduleRecord

router = APIRouter()


@router.get("/schedules")
async def list_schedules(desk: AtDesk) -> list[ScheduleRecord]:
    """List all schedules, by name."""
    reply = await desk.send(ListSchedules())
    assert isinstance(reply, Schedules)
    return list(reply.schedules)


@router.get("/schedules/{name}")
async def show_schedule(desk: AtDesk, name: Segment) -> ScheduleRecord:
    """Show a schedule, its next moments, and what became of the last ones."""
    reply = await desk.send(ListSchedules(name=name))
    assert isinstance(reply, Schedules)
    return reply.schedules[0]
