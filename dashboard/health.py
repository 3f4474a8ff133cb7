"""Outside of the API: whether the server lives, and its figures for Prometheus."""

from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from understudy.dashboard.desk import AtDesk
from understudy.dashboard.prometheus import exposition
from understudy.messages.commands import ListWorkers, Workers
from understudy.metrics.figures import Metrics

router = APIRouter()
figures = APIRouter()


class Health(BaseModel):
    """That it works."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", openapi_extra={"security": []})
async def healthz(desk: AtDesk) -> Health:
    """Say that the orchestrator works. The only thing that is said without a token."""
    desk.orchestrator.check_alive()
    return Health()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text."}},
)
async def prometheus(desk: AtDesk) -> Any:
    """Give the figures of all runs, and of the workers of this moment, as Prometheus reads them."""
    workers = await desk.send(ListWorkers())
    assert isinstance(workers, Workers)
    metrics = await desk.look(desk.reads.metrics)
    return Response(await desk.look(exposition, metrics, workers.workers), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@figures.get("/metrics")
async def metrics(desk: AtDesk) -> Metrics:
    """Give the figures of all runs: latencies, retries, crashes and success rates per workflow and step."""
    return await desk.look(desk.reads.metrics)
