"""Output of runs over HTTP: the lines that their code wrote to stdout and stderr."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from greenroom.dashboard.dependencies import AtDesk
from greenroom.dashboard.paths import Segment
from greenroom.dashboard.routes.pagination import MANY, Cursor, Limit, answer_page, behind, paged
from greenroom.messages.records.pages import Page, write_cursor
from greenroom.messages.records.records import LogLine

router = APIRouter(tags=["runs"])


@router.get(
    "/runs/{run_id}/logs",
    response_class=Response,
    responses={**paged(LogLine, "The lines, oldest first.")},
)
async def list_logs(
    desk: AtDesk,
    request: Request,
    run_id: Segment,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only lines behind this offset.")] = 0,
    limit: Limit = MANY,
    step: Annotated[str | None, Query(description="Only lines of a step, by its key or its name.")] = None,
    cursor: Cursor = None,
) -> Any:
    """List the lines that the code of a run wrote to stdout and stderr."""
    start = behind("logs", cursor, after)

    def page() -> Page[LogLine]:
        lines = desk.reads.logs(run_id, start, limit + 1, step)
        found = lines[:limit]
        return Page(found, write_cursor("logs", (found[-1].offset,)) if len(lines) > limit else None)

    return await answer_page(desk, request, page)
