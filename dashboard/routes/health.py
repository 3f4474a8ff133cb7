"""Outside the API: whether the server works, and its metrics for Prometheus."""

from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from greenroom.dashboard.access.unknown_parameters import Strict
from greenroom.dashboard.dependencies import AtDesk, Dependencies
from greenroom.dashboard.prometheus import exposition
from greenroom.messages.commands import ListWorkers, ShowTree, Tree, Workers
from greenroom.metrics.figure_records import Metrics, gate_figures, pool_figures

router = APIRouter(tags=["health"])
figures = APIRouter(tags=["health"])


class Health(BaseModel):
    """The orchestrator works; whether all of its pools do."""

    status: Literal["ok", "degraded"] = "ok"
    pools: dict[str, str] | None = None
    """Pools that are ``"short"`` or ``"degraded"``. The API gives the reason."""


@router.get("/healthz", openapi_extra={"security": []}, response_model_exclude_none=True)
async def show_health(desk: AtDesk) -> Health:
    """Report that the orchestrator works. The only answer that needs no token."""
    desk.orchestrator.check_alive()
    tree = await desk.send(ShowTree())
    assert isinstance(tree, Tree)
    troubled = {pool.pool: pool.status for pool in pool_figures(tree.root) if pool.detail}
    return Health(status="degraded" if "degraded" in troubled.values() else "ok", pools=troubled or None)


@router.get(
    "/metrics",
    dependencies=[Strict],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text."}},
)
async def show_prometheus(desk: AtDesk) -> Any:
    """Return the metrics of all runs and of the current workers in Prometheus's format."""
    workers = await desk.send(ListWorkers())
    assert isinstance(workers, Workers)
    metrics = await _metrics(desk)
    return Response(await desk.look(exposition, metrics, workers.workers), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@figures.get("/metrics")
async def show_metrics(desk: AtDesk) -> Metrics:
    """Return the metrics of all runs: latencies, retries, crashes and success rates per workflow and step."""
    return await _metrics(desk)


async def _metrics(desk: Dependencies) -> Metrics:
    tree = await desk.send(ShowTree())
    assert isinstance(tree, Tree)
    figures = await desk.look(desk.reads.metrics)
    return figures.model_copy(update={"pools": pool_figures(tree.root), "gates": gate_figures(tree.root)})
