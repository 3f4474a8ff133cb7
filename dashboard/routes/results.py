"""Waiting for runs over HTTP: a long poll for the result, and a stream of events that can be resumed."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Header, Query, Response
from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import BaseModel, Field

from greenroom.dashboard.dependencies import AtDesk, Dependencies
from greenroom.dashboard.paths import Segment
from greenroom.dashboard.responses.large_responses import Outgoing, Parcel
from greenroom.dashboard.routes.runs import as_object, event_json, read_page
from greenroom.journal.interface import Stored
from greenroom.messages.core.message import Json
from greenroom.messages.records.records import ENDED, RunRecord, RunStatus

router = APIRouter(tags=["runs"])

LONGEST_WAIT: Final = 300.0
"""Longest wait of one request for a result, in seconds."""
PING: Final = 15.0
"""Seconds without an event after which a stream sends a comment, to keep its connection open."""
PAGE: Final = 500
"""Events read from the journal at once."""


RETRY_MS: Final = 2_000
"""Milliseconds after which a browser reconnects to a stream that was cut off."""
END: Final = "end"
"""Name of a stream's last event: the run has ended and nothing follows."""


class StreamEnd(BaseModel):
    """Data of the last event of a stream."""

    run_id: str
    status: RunStatus = Field(description="How the run has ended.")


EVENT: Final = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "description": "The event's type, such as `step.completed`; at last `end`."},
        "id": {"type": "string", "description": "The event's sequence number; the one named `end` has none."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [{"$ref": "#/components/schemas/EventItem"}, {"$ref": "#/components/schemas/StreamEnd"}]
            },
        },
    },
}
"""One event of a stream, as OpenAPI 3.2 describes it."""
STREAMED: Final[dict[str, Any]] = {
    "description": (
        "Events as they are committed: `event` is the event's type, `id` its sequence number, `data` the event as "
        "JSON. A value that the workflow or handler emits is a `value.emitted`; one of a running step is a "
        "`step.emitted` with its attempt, and a `values.discarded` says that those of a lost attempt do not count. "
        "The last event is named `end`: close the stream then. A comment comes after 15 s of silence, and `retry` "
        "says how soon to come back."
    ),
    "content": {"text/event-stream": {"itemSchema": EVENT}},
}
"""A stream, as OpenAPI 3.2 describes it."""
LastEventId: TypeAlias = Annotated[
    int, Header(ge=0, le=2**53, description="Number of the last event that was seen.", alias="Last-Event-ID")
]
"""Where a stream goes on."""


class Result(BaseModel):
    """Result of a completed run."""

    run_id: str
    status: RunStatus = Field(default="completed", description="Always `completed`.")
    result: Json = Field(description="What the workflow returned.")


@router.get(
    "/runs/{run_id}/result",
    response_model=Result | RunRecord,
    responses={
        200: {"model": Result, "description": "The run has completed."},
        202: {"model": RunRecord, "description": "It goes on: ask again."},
        409: {"description": "It failed, was cancelled, or waits for a person: see `code`."},
    },
)
async def show_result(
    desk: AtDesk,
    run_id: Segment,
    response: Response,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end.")] = 0.0,
) -> Response | RunRecord:
    """Return the result of a run as soon as it has one, or say that it has none when the wait is over."""
    if not await _wait_over(desk, run_id, wait):
        response.status_code = 202
        return await desk.look(desk.reads.run, run_id)
    return await desk.answer(lambda: as_object(Result(run_id=run_id, result=desk.reads.result(run_id))))


async def _wait_over(desk: Dependencies, run_id: str, wait: float) -> bool:
    """Wait until a run is over. Return False at the time-out, or if the server is closing."""
    if await desk.look(desk.reads.is_over, run_id):
        return True
    try:
        async with asyncio.timeout(wait), desk.watching(run_id, end_only=True) as changed:
            while not desk.closing:
                await changed.wait()
                changed.clear()
                if await desk.look(desk.reads.is_over, run_id):
                    return True
    except TimeoutError:
        return False
    return False


@router.get(
    "/runs/{run_id}/stream",
    response_class=Response,
    responses={
        200: STREAMED,
        204: {"description": "The run has ended, and everything of it was seen: do not come back."},
    },
)
async def stream_events(
    desk: AtDesk,
    run_id: Segment,
    last_event_id: LastEventId = 0,
) -> Any:
    """Send the events of a run, beginning with past ones, until it has ended."""
    return await answer_stream(desk, run_id, last_event_id)


async def answer_stream(desk: Dependencies, run_id: str, after: int) -> Response:
    """Return the response that streams the events of a run or session with sequence numbers above ``after``."""
    run = await desk.look(desk.reads.run, run_id)
    if run.status in ENDED and after >= run.events:
        return Response(status_code=204)  # 204 stops a browser from reconnecting
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    parcel = Parcel(desk.outbox)
    return Outgoing(parcel, _stream(desk, parcel, run_id, after), "text/event-stream", headers)


def _message(stored: Stored) -> bytes:
    """Return an event as a message of a stream. A line ends a field, so line breaks between JSON tokens are removed."""
    text = event_json(stored).replace(b"\n", b" ").replace(b"\r", b" ")
    return b"event: %b\ndata: %b\nid: %d\n\n" % (stored.type.encode(), text, stored.seq)


async def _stream(desk: Dependencies, parcel: Parcel, run_id: str, after: int) -> AsyncGenerator[bytes]:
    first = b"retry: %d\n" % RETRY_MS  # with an event name: some clients take a message without one for an empty event
    async with desk.watching(run_id, end_only=False) as changed:
        while not desk.closing:
            changed.clear()
            run = await desk.look(desk.reads.run, run_id)  # before the events: none follow the end
            page = await read_page(desk, parcel, run_id, after, PAGE, _message, b"")
            after = page.last
            if page.events:
                yield first
                yield page.take()
                first = b""
            if page.events or desk.closing:
                continue
            if run.status in ENDED:
                end = StreamEnd(run_id=run_id, status=run.status)
                yield b"event: %b\ndata: %b\n\n" % (END.encode(), end.model_dump_json().encode())
                return
            try:
                await asyncio.wait_for(changed.wait(), PING)
            except TimeoutError:
                yield KEEPALIVE_COMMENT
