"""The handle of a session in asynchronous code."""

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from greenroom.actors.api.emit import check_channel
from greenroom.workflows.api.handles.async_run import items_of
from greenroom.workflows.api.handles.session import Session, SessionHost, Turn, question, reply_of
from greenroom.workflows.api.handles.twin import Twin, awaited
from greenroom.workflows.api.waiting import pages

if TYPE_CHECKING:
    from greenroom.actors.definitions.sessions import SessionDefinition
    from greenroom.messages.core.times import Seconds
    from greenroom.messages.records.records import RunStatus, SessionRecord, StreamItem

S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


class AsyncSession(Twin[Session[S, M, R]], Generic[S, M, R]):
    """One session of a handler, for asyncio: a ``Session`` whose reads and messages are awaited.

    Waiting for a reply holds no thread and blocks no event loop. Cancelling the await does not cancel the message: it
    is answered in its turn. Thread-safe, on any loop.

    Attributes:
        name: Name of the handler.
        key: Key of the session.
        id: Both, as in records: ``NAME/KEY``.
        plain: The same session for code that may block.
    """

    def __init__(self, session: Session[S, M, R], host: SessionHost, definition: "SessionDefinition") -> None:
        """Made by ``AsyncOrchestrator``, ``AsyncClient`` and ``Session.aio``."""
        super().__init__(session, host.threads)
        self.name = session.name
        self.key = session.key
        self.id = session.id
        self._host = host
        self._definition = definition

    def __repr__(self) -> str:
        """Name the session."""
        return f"<AsyncSession {self.id}>"

    async def ask(self, message: M, timeout: "Seconds | None" = None, key: str | None = None) -> R:  # noqa: ASYNC109  the contract's word
        """Send a message and await the reply; see ``Session.ask``."""
        command = question(self._definition, self.key, message, timeout, key)
        reply: R = reply_of(self._definition, await self._host.until_answered(command, self._definition.policy))
        return reply

    async def tell(self, message: M, key: str | None = None) -> None:
        """Send a message; see ``Session.tell``."""
        await self._call(self.plain.tell, message, key)

    @property
    def state(self) -> Coroutine[Any, Any, S]:
        """The state as of the newest ended turn: ``await session.state``."""
        return self._call(lambda: self.plain.state)

    @property
    def record(self) -> "Coroutine[Any, Any, SessionRecord]":
        """The session's entry in the index: ``await session.record``."""
        return self._call(lambda: self.plain.record)

    @property
    def status(self) -> "Coroutine[Any, Any, RunStatus]":
        """Status of the session: ``await session.status``."""
        return self._call(lambda: self.plain.status)

    async def history(self) -> list[Turn[M, R]]:
        """Return all messages so far with the outcome of each; see ``Session.history``."""
        return await self._call(self.plain.history)

    def stream(
        self, channel: str = "default", *, after: int | None = None, follow: bool = False
    ) -> "AsyncIterator[StreamItem]":
        """Yield what the session has emitted on a channel to an ``async for``; see ``Session.stream``."""
        check_channel(channel)
        host = self._host
        events = host.until_followed(self.id, 0) if follow else pages(host.threads, host.reads, self.id)
        return items_of(events, channel, after)

    transcript = awaited(Session[Any, Any, Any].transcript)
    cancel_turn = awaited(Session[Any, Any, Any].cancel_turn)
    close = awaited(Session[Any, Any, Any].close)
