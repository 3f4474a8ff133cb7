"""What callers get that may be large: made within a budget of bytes, sent in pieces, taken from who does not read it.

A caller who asks and does not read keeps what was made for it in memory. So no more is made than the budget allows:
others wait for their turn, and who holds a part of the budget without reading any of it for a while loses it, and its
connection, as soon as somebody else needs it.
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
"""How much is made at once: each may take several times as much memory as it gives."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Made and not sent yet, for all callers together. What is longer than this, or longer than what is left, is made while
there is any left."""
PIECE_BYTES: Final = 64 * 1024
"""What is given to a connection at once. It keeps as much again that its caller has not read."""
STALLED: Final = 10.0
"""Seconds without reading anything after which a caller may lose its part."""
LOOK_AGAIN: Final = 0.5
"""Seconds between two looks for callers who do not read, while somebody needs what they hold."""
ABORT: Final = "greenroom.abort"
"""Name in a request's scope of what closes its connection, whatever has not been sent."""


class ResponseBudget:
    """The budget of one server. Its loop only."""

    def __init__(self) -> None:
        """Begin with nothing made."""
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._held = 0
        self._parcels: set[Parcel] = set()
        """Those who hold a part of it."""
        self._freed = asyncio.Event()

    def __repr__(self) -> str:
        """Say how much is held."""
        return f"<Outbox {self._held} bytes for {len(self._parcels)} callers>"

    @property
    def held(self) -> int:
        """How many bytes are made and not sent yet."""
        return self._held

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn to make something, and until there is room for it."""
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
        """Note how much a parcel holds from now on."""
        self._held += size - parcel.size
        parcel.size = size
        if size:
            self._parcels.add(parcel)
        else:
            self._parcels.discard(parcel)
            self._freed.set()


class Parcel:
    """One answer's part of the budget. The server's loop only."""

    def __init__(self, outbox: ResponseBudget) -> None:
        """Hold nothing yet."""
        self.size = 0
        """Bytes it holds. The outbox writes it."""
        self.since: float | None = None
        """When the piece was begun that its caller has not taken; None while there is none. The answer writes it."""
        self.dropped = False
        self.limit = asyncio.Timeout(None)
        """Ends the answer once it is dropped."""
        self._outbox = outbox

    async def fill(self, make: Callable[P, T], size: Callable[[T], int], *args: P.args, **kwargs: P.kwargs) -> T:
        """Empty it, and have something made in a thread once there is room; ``size`` gives the bytes of that."""
        self.empty()
        async with self._outbox.turn():
            made = await run_in_threadpool(make, *args, **kwargs)
            self._outbox.note(self, size(made))
        return made

    def empty(self) -> None:
        """Let go of what is in it."""
        self._outbox.note(self, 0)

    def drop(self) -> None:
        """End the answer, which its caller does not read."""
        if not self.dropped:
            self.dropped = True
            self.limit.reschedule(asyncio.get_running_loop().time())


class Outgoing(StreamingResponse):
    """An answer that is sent piece by piece, and may end in the middle where its caller does not read."""

    def __init__(
        self, parcel: Parcel, body: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send ``body``, whose texts are held in ``parcel``."""
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
            await asyncio.sleep(0)  # until the connection is seen to be lost
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
    """Do nothing: the connection is not ours to close."""
