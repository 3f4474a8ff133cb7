"""Backends with a single worker, for jobs that may have killed a zygote."""

import math
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from greenroom.supervision.jobs import Backend, Pool, PoolKey

BackendFactory: TypeAlias = Callable[[str, PoolKey, Pool], Backend]
"""Returns a new backend for an app; called with the first pool that needs it."""

TOGETHER: Final = 2.0
"""Seconds within which the losses of several backends count as having one cause."""


@dataclass(eq=False, slots=True)
class _Isolated:
    """An isolated backend from its opening to its end. Written by ``IsolatedBackends`` only."""

    backend: Backend
    exclusive: bool
    lost_at: float = math.inf
    other_lost_at: float = -math.inf
    """When another backend was last lost beside this one, up to ``TOGETHER`` seconds after its own loss."""


class IsolatedBackends:
    """Creates and ends isolated backends. Reactor thread only.

    If only one backend is lost, its job is charged. If others are lost at the same time, the job of any of them may be
    the cause. Such jobs then run one after another, each in an exclusive backend without another one beside it.

    A backend that was lost before an isolated one was opened says nothing about the isolated one's job. Often that job
    itself has caused the earlier loss, and is here for that.
    """

    def __init__(self, loop: AbstractEventLoop, factory: BackendFactory, on_room: Callable[[], None]) -> None:
        """Start with none; ``on_room`` is called whenever one has ended, so that another may be opened."""
        self._loop = loop
        self._factory = factory
        self._on_room = on_room
        self._open: dict[int, _Isolated] = {}
        """By the identity of the backend."""
        self._ending: set[Task[Any]] = set()

    def has_room(self, *, exclusive: bool) -> bool:
        """Return whether a backend may be opened. An exclusive backend allows no other one beside it."""
        return not self._open if exclusive else not any(each.exclusive for each in self._open.values())

    def open(self, key: PoolKey, policy: Pool, *, exclusive: bool) -> Backend:
        """Return a new backend for one worker of a pool. It starts with that worker."""
        backend = self._factory(key.app, key, policy)
        backend.on_lost = partial(self._note, backend)
        self._open[id(backend)] = _Isolated(backend, exclusive)
        return backend

    def is_exclusive(self, backend: Backend) -> bool:
        """Return whether no other isolated backend is open beside this one."""
        return self._open[id(backend)].exclusive

    def note_loss(self, backend: object) -> None:
        """Record that a backend has lost its processes; it may be an isolated one or one that serves whole pools."""
        now = self._loop.time()
        for each in self._open.values():
            if each.backend is backend:
                each.lost_at = now
            elif now <= each.lost_at + TOGETHER:
                each.other_lost_at = now

    def lost_alone(self, backend: Backend) -> bool:
        """Return whether only the job in this backend can have caused its loss, which was recorded before.

        The answer does not depend on the order in which simultaneous losses were recorded, nor on how long it took
        since then to confirm the end of all processes.
        """
        each = self._open[id(backend)]
        return each.exclusive or each.other_lost_at < each.lost_at - TOGETHER

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
        del self._open[id(backend)]
        self._on_room()

    def _note(self, backend: Backend, _why: str) -> None:
        self.note_loss(backend)
