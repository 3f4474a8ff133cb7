"""Approvals over HTTP: the open ones. ``dashboard.routes.commands`` takes the decisions."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from greenroom.dashboard.dependencies import AtDesk
from greenroom.dashboard.routes.pagination import MANY, Cursor, Limit, answer_page, cut, paged
from greenroom.messages.core.times import iso
from greenroom.messages.records.pages import Page
from greenroom.messages.records.records import ApprovalRecord

router = APIRouter(tags=["approvals"])


@router.get(
    "/approvals", response_class=Response, responses={**paged(ApprovalRecord, "The questions, the oldest first.")}
)
async def list_approvals(
    desk: AtDesk,
    request: Request,
    run_id: Annotated[str | None, Query(description="Only those of this run and its children.")] = None,
    limit: Limit = MANY,
    cursor: Cursor = None,
) -> Any:
    """List the open approvals, oldest first."""

    def make() -> Page[ApprovalRecord]:
        found = desk.reads.approvals(run_id)
        return cut(found, "approvals", limit, cursor, lambda each: (iso(each.asked_at), each.id), (str, str))

    return await answer_page(desk, request, make)
