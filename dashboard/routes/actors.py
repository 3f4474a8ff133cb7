"""Workers and apps over HTTP."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from greenroom.dashboard.dependencies import AtDesk
from greenroom.dashboard.routes.pagination import MANY, Cursor, Limit, answer_page, numbered, paged
from greenroom.messages.commands import ListWorkers, ShowTree, Tree, Workers
from greenroom.messages.records.records import ActorRecord, HandlerRecord, WorkerRecord, WorkflowRecord

router = APIRouter(tags=["actors"])
workflows = APIRouter(tags=["workflows"])


class Actors(BaseModel):
    """The supervision tree and its workers at this moment."""

    tree: ActorRecord
    workers: tuple[WorkerRecord, ...]


@router.get("/actors")
async def list_actors(desk: AtDesk) -> Actors:
    """Return the supervision tree, and the worker processes with what each is doing."""
    tree, workers = await desk.send(ShowTree()), await desk.send(ListWorkers())
    assert isinstance(tree, Tree)
    assert isinstance(workers, Workers)
    return Actors(tree=tree.root, workers=workers.workers)


@workflows.get(
    "/workflows", response_class=Response, responses={**paged(WorkflowRecord, "The workflows, in order of the apps.")}
)
async def list_workflows(desk: AtDesk, request: Request, limit: Limit = MANY, cursor: Cursor = None) -> Any:
    """List the workflows that may be started here, with JSON Schemas of their arguments and results."""
    found = [each for app in await desk.contents() for each in app.workflows]
    return await answer_page(desk, request, lambda: numbered(found, "workflows", limit, cursor))


@workflows.get(
    "/handlers", response_class=Response, responses={**paged(HandlerRecord, "The handlers, in order of the apps.")}
)
async def list_handlers(desk: AtDesk, request: Request, limit: Limit = MANY, cursor: Cursor = None) -> Any:
    """List the handlers of sessions that may be talked to here, with JSON Schemas of messages, replies and states."""
    found = [each for app in await desk.contents() for each in app.handlers]
    return await answer_page(desk, request, lambda: numbered(found, "handlers", limit, cursor))
