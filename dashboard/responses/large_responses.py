"""Large responses: produced within a budget of bytes, sent in pieces, dropped if the caller does not read them.

A caller that does not read keeps its response in memory. So all responses together stay within a budget, and further
requests wait. A caller that reads nothing for a while loses its response and its connection as soon as another request
needs the space.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final, ParamSpec, TypeVar

from loguru import logger
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE: Final = 2
"""Responses that are produced at the same time: each may use several times its size in memory."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes produced and not yet sent, for all callers together. A response that is larger than what is left may start as
long as anything is left."""
PIECE_BYTES: Final = 64 * 1024
"""Bytes given to a connection at once. The connection buffers as much again that its caller has not read."""
STALLED: Final = 10.0
"""Seconds without reading after which a caller may lose its part of the budget."""
LOOK_AGAIN: Final = 0.5
"""Seconds between two checks for callers that do not read, while a request waits for space."""
ABORT: Final = "greenroom.abort"
"""Key in a request's scope of the function that closes its connection at once."""


class ResponseBudget:
    """The budget of one server. Server loop only."""

    def __init__(self) -> None:
        """Start with the whole budget free."""
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._held = 0
        self._parcels: set[Parcel] = set()
        """The parcels that hold a part of the budget."""
        self._freed = asyncio.Event()

    def __repr__(self) -> str:
        """Return a description with the number of bytes held."""
        return f"<Outbox {self._held} bytes for {len(self._parcels)} callers>"

    @property
    def held(self) -> int:
        """Bytes produced and not yet sent."""
        return self._held

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait until one more response may be produced and there is space for it."""
        async with self._turns:
            await self._wait_for_room()
            yield

    async def _wait_for_room(self) -> None:
        while self._held >= MOST_BYTES:
            self._freed.clear()
            now = asyncio.get_running_loop().time()
            for parcel in tuple(self._parcels):
                if parcel.since is not None and now - parcel.since >= STALLED:
                    parcel.drop()
            try:
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._freed.wait()
            except TimeoutError:
                continue

    def note(self, parcel: "Parcel", size: int) -> None:
        """Set how many bytes a parcel holds."""
        self._held += size - parcel.size
        parcel.size = size
        if size:
            self._parcels.add(parcel)
        else:
            self._parcels.discard(parcel)
            self._freed.set()


class Parcel:
    """The part of the budget that one response holds. Server loop only."""

    def __init__(self, outbox: ResponseBudget) -> None:
        """Start with nothing held."""
        self.size = 0
        """Bytes held. Written by the budget."""
        self.since: float | None = None
        """When sending of the current piece began; None if no piece is being sent. Written by the response."""
        self.dropped = False
        self.limit = asyncio.Timeout(None)
        """Expires when the response is dropped."""
        self._outbox = outbox

    async def fill(self, make: Callable[P, T], size: Callable[[T], int], *args: P.args, **kwargs: P.kwargs) -> T:
        """Release what is held, wait for space, and call ``make`` in a thread; ``size`` gives its result's bytes."""
        self.empty()
        async with self._outbox.turn():
            made = await run_in_threadpool(make, *args, **kwargs)
            self._outbox.note(self, size(made))
        return made

    def empty(self) -> None:
        """Release what is held."""
        self._outbox.note(self, 0)

    def drop(self) -> None:
        """End the response, because its caller does not read."""
        if not self.dropped:
            self.dropped = True
            self.limit.reschedule(asyncio.get_running_loop().time())


class Outgoing(StreamingResponse):
    """A response that is sent piece by piece, and cut off if its caller does not read."""

    def __init__(
        self, parcel: Parcel, body: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send ``body``, whose bytes are accounted for in ``parcel``."""
        super().__init__(body, headers=headers, media_type=media_type)
        self._parcel = parcel
        self._body = body
        self._abort: Callable[[], None] = _nothing

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._abort = scope.get(ABORT, _nothing)
        await super().__call__(scope, receive, send)

    @override
    async def stream_response(self, send: Send) -> None:
        parcel = self._parcel
        try:
            async with parcel.limit:
                await self._send_all(send)
        except TimeoutError:
            if not parcel.dropped:
                raise
            logger.info("an HTTP caller read nothing for {} s and was left: others needed the memory", STALLED)
            self._abort()
            await asyncio.sleep(0)  # until the connection is lost
        finally:
            parcel.empty()

    async def _send_all(self, send: Send) -> None:
        loop, parcel = asyncio.get_running_loop(), self._parcel
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._body) as body:
            async for text in body:
                for place in range(0, len(text), PIECE_BYTES):
                    parcel.since = loop.time()
                    piece = text[place : place + PIECE_BYTES]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                parcel.since = None
                del text  # before the next one is made
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _nothing() -> None:
    """Do nothing: the connection cannot be closed from here."""
