"""Output of runs over HTTP: the lines that their code has written to stdout and stderr."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from understudy.dashboard.desk import AtDesk
from understudy.dashboard.paths import Segment
from understudy.dashboard.runs import PAGE, as_array
from understudy.messages.records import LogLine

router = APIRouter()


@router.get("/runs/{run_id}/logs", response_model=list[LogLine])
async def show_logs(
    desk: AtDesk,
    run_id: Segment,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only lines behind this offset.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = PAGE,
    step: Annotated[str | None, Query(description="Only lines of a step, by its key or its name.")] = None,
) -> Response:
    """Give lines that a run has written, the oldest first; the last one's `offset` is `after` of the next request."""
    return await desk.answer(lambda: as_array(desk.reads.logs(run_id, after, limit, step)))
