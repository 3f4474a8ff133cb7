"""Backends with a single worker, for jobs that may have killed a zygote."""

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from greenroom.supervision.jobs import Backend, Pool, PoolKey

BackendFactory: TypeAlias = Callable[[str, PoolKey, Pool], Backend]
"""Returns a new backend for an app; called with the first pool that needs it."""

TOGETHER: Final = 2.0
"""Seconds within which the deaths of several backends count as having one cause."""


class IsolatedBackends:
    """Creates and ends isolated backends. Reactor thread only.

    If only one backend dies, its job is charged. If others die at the same time, the job of any of them may be the
    cause. Such jobs then run one after another, each in an exclusive backend without another one beside it.
    """

    def __init__(self, loop: AbstractEventLoop, factory: BackendFactory, on_room: Callable[[], None]) -> None:
        """Start with none; ``on_room`` is called whenever one has ended, so that another may be opened."""
        self._loop = loop
        self._factory = factory
        self._on_room = on_room
        self._open: dict[int, Backend] = {}
        self._exclusive: Backend | None = None
        self._losses: list[tuple[float, object]] = []
        """The backends that were lost in the last seconds, each with the time."""
        self._ending: set[Task[Any]] = set()

    def has_room(self, *, exclusive: bool) -> bool:
        """Return whether a backend may be opened. An exclusive backend allows no other one beside it."""
        return self._exclusive is None and not (exclusive and self._open)

    def open(self, key: PoolKey, policy: Pool, *, exclusive: bool) -> Backend:
        """Return a new backend for one worker of a pool. It starts with that worker."""
        backend = self._factory(key.app, key, policy)
        backend.on_lost = partial(self._note, backend)
        self._open[id(backend)] = backend
        if exclusive:
            self._exclusive = backend
        return backend

    def is_exclusive(self, backend: Backend) -> bool:
        """Return whether no other isolated backend is open beside this one."""
        return self._exclusive is backend

    def note_loss(self, backend: object) -> None:
        """Record that a backend has lost its processes; it may be an isolated one or one that serves whole pools."""
        now = self._loop.time()
        self._losses = [loss for loss in self._losses if loss[0] >= now - TOGETHER]
        self._losses.append((now, backend))

    def convicts(self, backend: Backend) -> bool:
        """Return whether only the job in this backend can have caused its loss, which was just recorded."""
        now = self._loop.time()
        others = [lost for at, lost in self._losses if at >= now - TOGETHER and lost is not backend]
        return self.is_exclusive(backend) or not others

    def leave(self, backend: Backend) -> None:
        """End a backend whose worker is dead."""
        task = self._loop.create_task(self._end(backend))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Wait until every backend that was passed to ``leave`` has ended."""
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
