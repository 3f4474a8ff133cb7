"""Runs over HTTP: starting and reading them."""

import hashlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from greenroom.dashboard.dependencies import AtDesk, Dependencies
from greenroom.dashboard.paths import Segment
from greenroom.dashboard.responses.large_responses import Outgoing, Parcel
from greenroom.dashboard.responses.problems import Refusal
from greenroom.dashboard.routes.pagination import MANY, Cursor, Limit, answer_page, behind, next_link, numbered, paged
from greenroom.journal.event_pages import PAGE_BYTES
from greenroom.journal.interface import Stored
from greenroom.messages.codecs.event_codec import spliced
from greenroom.messages.commands import Accepted, StartRun
from greenroom.messages.core.message import Json
from greenroom.messages.core.times import iso, moment
from greenroom.messages.ids import run_id as check_id
from greenroom.messages.options.policy import Budget
from greenroom.messages.records.pages import Page, write_cursor
from greenroom.messages.records.records import RunRecord, RunStatus, StepRecord
from greenroom.messages.transcript import TranscriptMessage

router = APIRouter(tags=["runs"])


class Start(BaseModel):
    """A start of a run."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"workflow": "research", "input": {"topic": "otters"}, "id": "brief-otters"}]},
    )

    workflow: str = Field(description="NAME, or FILE.py:NAME where several apps have one of that name.")
    input: dict[str, Json] = Field(default_factory=dict, description="Arguments by parameter name.")
    id: str | None = Field(default=None, description="Identity of the run: 1 to 200 letters, digits, '.', '_' and '-'.")
    budget: Budget | None = Field(default=None, description="What it may use up, in place of the workflow's own.")


OfCall: TypeAlias = Annotated[
    str | None, Query(description="Key of a model call, or of an agent; else the newest call.")
]
"""Whose transcript is asked for."""


class EventItem(BaseModel):
    """One event of a run: its sequence number, its time, and the fields of its type.

    Times inside an event are seconds since the Unix epoch, as in the journal.
    """

    model_config = ConfigDict(extra="allow")

    seq: int = Field(description="1 for the first event, and no gaps.")
    time: str = Field(description="When it became true, in UTC by ISO 8601.")
    type: str = Field(description="What happened, such as `step.completed`.")
    at: float = Field(description="The same moment as `time`, in seconds since the Unix epoch.")


def as_object(record: BaseModel) -> list[bytes]:
    """Return a record as JSON, with the values of users as the text that the journal holds."""
    return [spliced(record)]


def event_json(stored: Stored) -> bytes:
    """Return an event as JSON in the form of ``EventItem``."""
    return b'{"seq":%d,"time":"%b",' % (stored.seq, iso(moment(stored.at)).encode()) + spliced(stored.event)[1:]


@router.get("/runs", response_class=Response, responses={**paged(RunRecord, "The runs.")})
async def list_runs(
    desk: AtDesk,
    request: Request,
    status: Annotated[list[RunStatus] | None, Query(description="Only runs of this status; may be repeated.")] = None,
    name: Annotated[str | None, Query(description="Only runs of this workflow.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """List runs, newest first."""
    return await answer_page(desk, request, lambda: desk.reads.runs(status, name, limit, cursor))


@router.post("/runs", status_code=201, responses={200: {"model": RunRecord, "description": "It was started before."}})
async def start_run(
    desk: AtDesk,
    start: Start,
    response: Response,
    idempotency_key: Annotated[
        str, Header(max_length=255, description="The same key gives the same run, whenever it is used.")
    ] = "",
) -> RunRecord:
    """Start a run, or return the one that this id or key started before. It is committed when this answers."""
    if start.id is not None and idempotency_key:
        raise Refusal("conflict", "give an id or an Idempotency-Key: each of them names the run")
    found = await desk.find_workflow(start.workflow)
    named = id_of_key(idempotency_key) if idempotency_key else start.id
    try:
        run_id = check_id(named, found.name)
    except ValueError as error:
        raise Refusal("invalid", f"id: {error}") from error
    command = StartRun(run_id=run_id, app=found.app, workflow=found.name, arguments=start.input, budget=start.budget)
    reply = await desk.send(command)
    assert isinstance(reply, Accepted)
    response.status_code = 201 if reply.created else 200
    response.headers["Location"] = f"/api/v1/runs/{run_id}"
    return await desk.look(desk.reads.run, run_id)


def id_of_key(key: str) -> str:
    """Return the run id that an idempotency key stands for, the same after every restart of the server."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


@router.get(
    "/runs/{run_id}/events",
    response_class=Response,
    responses={**paged(EventItem, "The events, oldest first.")},
)
async def list_events(
    desk: AtDesk,
    request: Request,
    run_id: Segment,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only those with higher sequence numbers.")] = 0,
    limit: Limit = MANY,
    cursor: Cursor = None,
) -> Any:
    """List the events of a run as they are in the journal."""
    after = behind("events", cursor, after)
    run = await desk.look(desk.reads.run, run_id)
    last = after + limit  # sequence numbers have no gaps
    more = write_cursor("events", (last,)) if run.events > last else None
    parcel = Parcel(desk.outbox)
    first = await read_page(desk, parcel, run_id, after, limit)
    events = _array(desk, parcel, run_id, first, limit)
    return Outgoing(parcel, events, "application/json", next_link(request, more))


@dataclass(slots=True)
class EventPage:
    """Some of a run's events as JSON."""

    events: int
    """Number of events."""
    last: int
    """Sequence number of the last event."""
    text: bytes

    def take(self) -> bytes:
        """Return the text and drop it here, so that it is in memory only while it is sent."""
        text, self.text = self.text, b""
        return text


async def read_page(
    desk: Dependencies,
    parcel: Parcel,
    run_id: str,
    after: int,
    limit: int,
    write: Callable[[Stored], bytes] = event_json,
    between: bytes = b",",
) -> EventPage:
    """Read as many events as may be in memory at once, and put them into a parcel as JSON."""

    def make() -> EventPage:
        page = desk.reads.events(run_id, after, limit, PAGE_BYTES)
        count, last = len(page), page[-1].seq if page else after
        texts: list[bytes] = []
        page.reverse()
        while page:  # frees each event once it is JSON
            texts.append(write(page.pop()))
        return EventPage(count, last, between.join(texts))

    return await parcel.fill(make, lambda page: len(page.text))


async def _array(desk: Dependencies, parcel: Parcel, run_id: str, page: EventPage, limit: int) -> AsyncGenerator[bytes]:
    """Yield events as one JSON array, reading them while it is sent."""
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


@router.get(
    "/runs/{run_id}/steps", response_class=Response, responses={**paged(StepRecord, "The steps, with their attempts.")}
)
async def list_steps(
    desk: AtDesk,
    request: Request,
    run_id: Segment,
    after: Annotated[int, Query(ge=0, le=2**53, description="Leave out as many of the first steps.")] = 0,
    limit: Limit = MANY,
    cursor: Cursor = None,
) -> Any:
    """List the steps of a run with their attempts, in the order of their calls."""
    start = behind("steps", cursor, after)

    def page() -> Page[StepRecord]:
        steps = desk.reads.steps(run_id, start, limit + 1)
        return Page(steps[:limit], write_cursor("steps", (start + limit,)) if len(steps) > limit else None)

    return await answer_page(desk, request, page)


@router.get(
    "/runs/{run_id}/transcript",
    response_class=Response,
    responses={**paged(TranscriptMessage, "The messages, oldest first.")},
)
async def list_transcript(
    desk: AtDesk,
    request: Request,
    run_id: Segment,
    step: OfCall = None,
    limit: Limit = MANY,
    cursor: Cursor = None,
) -> Any:
    """List the messages of an agent's conversation with its model: what the call has read, and its answer."""
    messages = partial(desk.reads.transcript, run_id, step)
    return await answer_page(desk, request, lambda: numbered(messages(), "transcript", limit, cursor))


class State(BaseModel):
    """The shared state of a run."""

    state: Json = Field(description="null where the workflow has none, or has not changed it yet.")


@router.get("/runs/{run_id}/state", response_model=State)
async def show_run_state(desk: AtDesk, run_id: Segment) -> Response:
    """Return the shared state of a run as of its newest committed step."""
    return await desk.answer(lambda: as_object(State(state=desk.reads.state(run_id))))


@router.get("/runs/{run_id}")
async def show_run(desk: AtDesk, run_id: Segment) -> RunRecord:
    """Return one run."""
    return await desk.look(desk.reads.run, run_id)
