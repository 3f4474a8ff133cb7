"""Backends for one worker each: where a job runs that may have killed the processes that others depend on."""

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from greenroom.supervision.jobs import Backend, Pool, PoolKey

BackendFactory: TypeAlias = Callable[[str, PoolKey, Pool], Backend]
"""Makes the backend for an app; called with the first pool that needs it."""

TOGETHER: Final = 2.0
"""Seconds within which the deaths of several backends are taken to have one cause."""


class IsolatedBackends:
    """Makes such backends and ends them. Reactor thread only.

    A backend that dies by itself convicts the job that was in it. Where others die at the same time, the job of any of
    them may have killed them all; such jobs run one after another, with no other annex beside them.
    """

    def __init__(self, loop: AbstractEventLoop, factory: BackendFactory, on_room: Callable[[], None]) -> None:
        """Begin with none; ``on_room`` is called whenever one has ended, so that another may be opened."""
        self._loop = loop
        self._factory = factory
        self._on_room = on_room
        self._open: dict[int, Backend] = {}
        self._exclusive: Backend | None = None
        self._losses: list[tuple[float, object]] = []
        """When backends were lost in the last seconds, and which."""
        self._ending: set[Task[Any]] = set()

    def has_room(self, *, exclusive: bool) -> bool:
        """Return whether one may be opened: none beside an exclusive one."""
        return self._exclusive is None and not (exclusive and self._open)

    def open(self, key: PoolKey, policy: Pool, *, exclusive: bool) -> Backend:
        """Make a backend for one worker of a pool. It starts with that worker."""
        backend = self._factory(key.app, key, policy)
        backend.on_lost = partial(self._note, backend)
        self._open[id(backend)] = backend
        if exclusive:
            self._exclusive = backend
        return backend

    def is_exclusive(self, backend: Backend) -> bool:
        """Return whether no other annex is beside this one."""
        return self._exclusive is backend

    def note_loss(self, backend: object) -> None:
        """Note that a backend has lost its processes: an annex, or one that serves whole pools."""
        now = self._loop.time()
        self._losses = [loss for loss in self._losses if loss[0] >= now - TOGETHER]
        self._losses.append((now, backend))

    def convicts(self, backend: Backend) -> bool:
        """Return whether the loss of this annex, just now, can have been the doing of nobody but its job."""
        now = self._loop.time()
        others = [lost for at, lost in self._losses if at >= now - TOGETHER and lost is not backend]
        return self.is_exclusive(backend) or not others

    def leave(self, backend: Backend) -> None:
        """End a backend whose worker is dead."""
        task = self._loop.create_task(self._end(backend))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Wait until every backend that was left has ended."""
        for task in list(self._ending):
            await task

    async def _end(self, backend: Backend) -> None:
        await backend.close()
        self._open.pop(id(backend), None)
        if self._exclusive is backend:
            self._exclusive = None
        self._on_room()

    def _note(self, backend: Backend, _why: str) -> None:
        self.note_loss(backend)
