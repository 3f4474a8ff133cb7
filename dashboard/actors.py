"""Workers and apps over HTTP."""

from fastapi import APIRouter
from pydantic import BaseModel

from understudy.dashboard.desk import AtDesk
from understudy.messages.commands import ListWorkers, ShowTree, Tree, Workers
from understudy.messages.records import ActorRecord, WorkerRecord, WorkflowRecord

router = APIRouter()


class Actors(BaseModel):
    """Everything that is alive at this moment."""

    tree: ActorRecord
    workers: tuple[WorkerRecord, ...]


@router.get("/actors")
async def list_actors(desk: AtDesk) -> Actors:
    """Give the supervision tree, and the worker processes with what each of them does."""
    tree, workers = await desk.send(ShowTree()), await desk.send(ListWorkers())
    assert isinstance(tree, Tree)
    assert isinstance(workers, Workers)
    return Actors(tree=tree.root, workers=workers.workers)


@router.get("/workflows")
async def list_workflows(desk: AtDesk) -> list[WorkflowRecord]:
    """List the workflows that may be started here."""
    return [found for app in await desk.contents() for found in app.workflows]
