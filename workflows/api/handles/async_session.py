"""The handle on a session in asynchronous code."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from greenroom.workflows.api.handles.session import Session, SessionHost, Turn, question, reply_of

if TYPE_CHECKING:
    from greenroom.actors.definitions.sessions import SessionDefinition
    from greenroom.messages.core.times import Seconds
    from greenroom.messages.records import RunStatus, SessionRecord

S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


class AsyncSession(Generic[S, M, R]):
    """One session of a handler, for asyncio: a ``Session`` whose every look and message is awaited.

    Who waits for a reply holds no thread and blocks no event loop; who stops waiting leaves the message to be answered
    in its turn. May be used on any loop, in any thread.

    Attributes:
        name: Of the handler.
        key: Which of its sessions.
        id: Both, as records have it.
        plain: The same session for code that may block.
    """

    def __init__(self, session: Session[S, M, R], host: SessionHost, definition: "SessionDefinition") -> None:
        """Made by ``AsyncOrchestrator``, ``AsyncClient`` and ``Session.aio``."""
        self.name = session.name
        self.key = session.key
        self.id = session.id
        self.plain = session
        self._host = host
        self._definition = definition
        self._call = host.threads.call

    def __repr__(self) -> str:
        """Say which one it is."""
        return f"<AsyncSession {self.id}>"

    async def ask(self, message: M, timeout: "Seconds | None" = None, key: str | None = None) -> R:  # noqa: ASYNC109  the contract's word
        """Send a message and wait for the reply; see ``Session.ask``."""
        command = question(self._definition, self.key, message, timeout, key)
        reply: R = reply_of(self._definition, await self._host.until_answered(command, self._definition.policy))
        return reply

    async def tell(self, message: M, key: str | None = None) -> None:
        """Send a message; see ``Session.tell``."""
        await self._call(self.plain.tell, message, key)

    @property
    def state(self) -> Coroutine[Any, Any, S]:
        """The state as of the newest turn that has ended: ``await session.state``."""
        return self._call(lambda: self.plain.state)

    @property
    def record(self) -> "Coroutine[Any, Any, SessionRecord]":
        """The session's line in the index: ``await session.record``."""
        return self._call(lambda: self.plain.record)

    @property
    def status(self) -> "Coroutine[Any, Any, RunStatus]":
        """Where the session stands: ``await session.status``."""
        return self._call(lambda: self.plain.status)

    async def history(self) -> list[Turn[M, R]]:
        """Give all messages so far with what came of each; see ``Session.history``."""
        return await self._call(self.plain.history)

    async def close(self) -> None:
        """Take nothing more; see ``Session.close``."""
        await self._call(self.plain.close)
