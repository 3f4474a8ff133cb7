"""Runs over HTTP: starting them, and looking at them."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from understudy.dashboard.desk import AtDesk, Desk
from understudy.dashboard.outbox import Outgoing, Parcel
from understudy.dashboard.paths import Segment
from understudy.dashboard.problems import Refusal
from understudy.journal.pages import PAGE_BYTES
from understudy.journal.protocol import Stored
from understudy.messages.base import Json
from understudy.messages.codec import spliced
from understudy.messages.commands import Accepted, StartRun
from understudy.messages.records import RunRecord, RunStatus, StepRecord
from understudy.workflows.helm import run_id as check_id

router = APIRouter()

PAGE = 1000
"""Events that one answer holds where the request does not say."""


class Start(BaseModel):
    """What to start."""

    model_config = ConfigDict(extra="forbid", strict=True)

    workflow: str = Field(description="NAME, or FILE.py:NAME where several apps have one of that name.")
    input: dict[str, Json] = Field(default_factory=dict, description="Arguments by parameter name.")
    id: str | None = Field(default=None, description="Identity of the run: 1 to 200 letters, digits, '.', '_' and '-'.")


class EventItem(BaseModel):
    """One event of a run: its sequence number, and whatever an event of its type has."""

    model_config = ConfigDict(extra="allow")

    seq: int = Field(description="1 for the first event, and no gaps.")
    type: str
    at: float = Field(description="Seconds since the Unix epoch.")


def as_object(record: BaseModel) -> list[bytes]:
    """Write a record, whose values nobody reads on the way."""
    return [spliced(record)]


def as_array(records: Sequence[BaseModel]) -> list[bytes]:
    """Write records, whose values nobody reads on the way, in pieces."""
    pieces = [piece for record in records for piece in (b",", spliced(record))]
    return [b"[", *pieces[1:], b"]"]


def event_json(stored: Stored) -> bytes:
    """Write an event as ``EventItem`` has it."""
    return b'{"seq":%d,' % stored.seq + spliced(stored.event)[1:]


@router.get("/runs")
async def list_runs(
    desk: AtDesk,
    status: Annotated[list[RunStatus] | None, Query()] = None,
    name: Annotated[str | None, Query(description="Only runs of this workflow.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> list[RunRecord]:
    """List the newest runs first."""
    return await desk.look(desk.reads.runs, status, name, limit)


@router.post("/runs", status_code=201, responses={200: {"model": RunRecord, "description": "It was started before."}})
async def start_run(
    desk: AtDesk,
    start: Start,
    response: Response,
    idempotency_key: Annotated[
        str, Header(max_length=255, description="The same key gives the same run, whenever it is used.")
    ] = "",
) -> RunRecord:
    """Start a run, or find the one that this id or key started before; it is on the disk when this answers."""
    if start.id is not None and idempotency_key:
        raise Refusal("conflict", "give an id or an Idempotency-Key: each of them names the run")
    found = await desk.find_workflow(start.workflow)
    named = id_of_key(idempotency_key) if idempotency_key else start.id
    try:
        run_id = check_id(named, found.name)
    except ValueError as error:
        raise Refusal("invalid", f"id: {error}") from error
    command = StartRun(run_id=run_id, app=found.app, workflow=found.name, arguments=start.input)
    reply = await desk.send(command)
    assert isinstance(reply, Accepted)
    response.status_code = 201 if reply.created else 200
    response.headers["Location"] = f"/api/v1/runs/{run_id}"
    return await desk.look(desk.reads.run, run_id)


def id_of_key(key: str) -> str:
    """Give the id of the run that an idempotency key stands for, in this life of the server and every other."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


@router.get(
    "/runs/{run_id}/events",
    response_class=Response,
    responses={200: {"model": list[EventItem], "description": "The events, oldest first."}},
)
async def show_events(
    desk: AtDesk,
    run_id: Segment,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only those with higher sequence numbers.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = PAGE,
) -> Any:
    """Give the events of a run as the journal holds them."""
    parcel = Parcel(desk.outbox)
    first = await read_page(desk, parcel, run_id, after, limit)
    return Outgoing(parcel, _array(desk, parcel, run_id, first, limit), "application/json")


@dataclass(slots=True)
class Page:
    """Some of a run's events, written."""

    events: int
    """How many they are."""
    last: int
    """Sequence number of the last one."""
    text: bytes

    def take(self) -> bytes:
        """Take the text out, so that it is in memory for as long as it is being sent and no longer."""
        text, self.text = self.text, b""
        return text


async def read_page(
    desk: Desk,
    parcel: Parcel,
    run_id: str,
    after: int,
    limit: int,
    write: Callable[[Stored], bytes] = event_json,
    between: bytes = b",",
) -> Page:
    """Read as many of a run's events as may be in memory at once, and write them as they are sent, into a parcel."""

    def make() -> Page:
        page = desk.reads.events(run_id, after, limit, PAGE_BYTES)
        count, last = len(page), page[-1].seq if page else after
        texts: list[bytes] = []
        page.reverse()
        while page:  # what is written is let go of
            texts.append(write(page.pop()))
        return Page(count, last, between.join(texts))

    return await parcel.fill(make, lambda page: len(page.text))


async def _array(desk: Desk, parcel: Parcel, run_id: str, page: Page, limit: int) -> AsyncGenerator[bytes]:
    """Write events as one array, reading them as they are sent."""
    given, between = 0, b"["
    while page.events:
        given += page.events
        yield between
        yield page.take()
        between = b","
        if given == limit:
            break
        page = await read_page(desk, parcel, run_id, page.last, limit - given)
    yield b"]" if given else b"[]"


@router.get("/runs/{run_id}/steps", response_model=list[StepRecord])
async def show_steps(desk: AtDesk, run_id: Segment) -> Response:
    """Give the steps of a run with their attempts, in the order in which they were asked for."""
    return await desk.answer(lambda: as_array(desk.reads.steps(run_id)))


class State(BaseModel):
    """The shared state of a run."""

    state: Json = Field(description="null where the workflow has none, or has not changed it yet.")


@router.get("/runs/{run_id}/state", response_model=State)
async def show_state(desk: AtDesk, run_id: Segment) -> Response:
    """Give the shared state of a run as of its newest committed step."""
    return await desk.answer(lambda: as_object(State(state=desk.reads.state(run_id))))


@router.get("/runs/{run_id}")
async def show_run(desk: AtDesk, run_id: Segment) -> RunRecord:
    """Give one run."""
    return await desk.look(desk.reads.run, run_id)
