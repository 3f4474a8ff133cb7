"""Questions to people over HTTP; ``dashboard.commands`` takes the answers."""

from typing import Annotated

from fastapi import APIRouter, Query

from understudy.dashboard.desk import AtDesk
from understudy.messages.records import ApprovalRecord

router = APIRouter()


@router.get("/approvals")
async def list_approvals(
    desk: AtDesk,
    run_id: Annotated[str | None, Query(description="Only those of this run and its children.")] = None,
) -> list[ApprovalRecord]:
    """List what waits for a person, the oldest first."""
    return await desk.look(desk.reads.approvals, run_id)
