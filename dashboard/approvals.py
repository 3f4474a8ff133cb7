"""Questions to people over HTTP; ``dashboard.commands`` takes the answers."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from understudy.dashboard.desk import AtDesk
from understudy.dashboard.runs import as_array
from understudy.messages.records import ApprovalRecord

router = APIRouter()


@router.get("/approvals", response_model=list[ApprovalRecord])
async def list_approvals(
    desk: AtDesk,
    run_id: Annotated[str | None, Query(description="Only those of this run and its children.")] = None,
) -> Response:
    """List what waits for a person, the oldest first."""
    return await desk.answer(lambda: as_array(desk.reads.approvals(run_id)))
