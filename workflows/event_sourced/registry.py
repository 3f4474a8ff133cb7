"""The base of registries of event-sourced actors: finds an actor in memory, or has it read from the journal."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from loguru import logger

from greenroom.messages.core.errors import OrchestratorClosed
from greenroom.supervision.loop.actor import LoopRef, actor_of
from greenroom.supervision.loop.reactor import Reactor
from greenroom.workflows.event_sourced.actor import EventSourcedActor

CLOSED: Final = "the orchestrator is closed; open the journal again to go on with its runs"
"""Answer to commands that come after the end."""

A = TypeVar("A", bound=EventSourcedActor[Any])
M = TypeVar("M")
P = TypeVar("P")
T = TypeVar("T")


class Reader(Protocol):
    """Reads the journal for coroutines of the reactor's loop."""

    async def read(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a thread that may block; raise ``OrchestratorClosed`` if the journal is closed before."""
        ...


class ActorRegistry(ABC, Generic[A, M, P]):
    """Keeps the actors that are in memory, and reads the others. Reactor thread only; nothing here blocks.

    ``A`` is the actor, ``M`` a message to it, ``P`` its past as read from the journal. Messages for an actor that is
    being read wait for it.

    Args:
        executor: Reads the journal in its threads; None for the loop's own executor.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        """Start with an empty registry."""
        self._reactor: Reactor
        self._executor = executor
        self._live: dict[str, LoopRef[A]] = {}
        self._loading: dict[str, list[M]] = {}
        """Messages for the actors that are being read."""
        self._reading = 0
        """Reads under way."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Tasks under way: a loop refers to its tasks weakly."""
        self._closed = False

    def working(self) -> bool:
        """Return whether an actor has work under way, or is being read."""
        if self._loading or self._reading:
            return True
        return any((actor := actor_of(ref)) is not None and actor.moving for ref in self._live.values())

    def route(self, name: str, message: M) -> None:
        """Send a message to an actor, which is read from the journal if it is not in memory."""
        if (ref := self._live.get(name)) is not None:
            ref.tell(message)
        elif (waiting := self._waiting(name)) is not None:
            waiting.append(message)
        elif not self._closed:
            self._loading[name] = [message]
            self.begin(self._bring_in(name))

    def _waiting(self, name: str) -> list[M] | None:
        """Return the messages that wait until an actor is in memory; None if it is not on its way there."""
        return self._loading.get(name)

    async def _bring_in(self, name: str) -> None:
        try:
            past = await self.read(partial(self._load, name))
        except Exception as error:  # noqa: BLE001  the senders of the waiting messages are told
            self._unreadable(name, self._loading.pop(name, []), error)
        else:
            self._loaded(name, past)

    @abstractmethod
    def _load(self, name: str) -> P:
        """Read an actor's past from the journal. Executor thread."""

    @abstractmethod
    def _loaded(self, name: str, past: P) -> None:
        """Start the actor, and send it the messages that wait for it."""

    @abstractmethod
    def _unreadable(self, name: str, waiting: list[M], error: Exception) -> None:
        """Refuse the messages for an actor that cannot be read."""

    async def read(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a thread that may block.

        Raises:
            OrchestratorClosed: The registry was closed before the job was done.
        """
        self._check_open()
        self._reading += 1
        try:
            found = await self._reactor.loop.run_in_executor(self._executor, job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                self._check_open()  # the job was cancelled because the executor was shut down
            raise
        finally:
            self._reading -= 1
        self._check_open()
        return found

    def _check_open(self) -> None:
        if self._closed:
            raise OrchestratorClosed(CLOSED)

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task, and log what it raises."""
        task = self._reactor.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._closed:
            logger.opt(exception=error).error("the journal cannot be read")

    def close(self) -> None:
        """Stop every actor at once. The next orchestrator continues from the journal."""
        self._closed = True
        for ref in self._live.values():
            ref.silence()
        self._live.clear()
