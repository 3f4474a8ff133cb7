"""Deterministic order where asyncio has none, so that a replay takes the same path.

``asyncio.as_completed`` collects its arguments in a set, and turns coroutines into tasks in the order of that set,
which is the order of their addresses. Here they become tasks first, in the order given, which fixes their place in the
program's tree. Futures would hash by address, as tasks would (see ``tasks``). ``asyncio.all_tasks`` would return the
tasks of every program in the process.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import wraps
from typing import Any

from greenroom.actors.context import program
from greenroom.actors.program.loop.tasks import Future
from greenroom.actors.program.scope import scope

_as_completed = asyncio.as_completed
_all_tasks = asyncio.all_tasks
_Gathering: Any = vars(asyncio.tasks)["_GatheringFuture"]


@wraps(_as_completed)
def _in_order(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    return _as_completed([asyncio.ensure_future(each) for each in fs], timeout=timeout)


@wraps(_all_tasks)
def _own_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
    owner = program.get()
    return _all_tasks(loop) if owner is None else owner.tasks()


class _GatheringFuture(_Gathering):  # type: ignore[misc]
    """The future of ``asyncio.gather``, with the hash of a ``Future``."""

    def __init__(self, children: Sequence[Any], *, loop: asyncio.AbstractEventLoop) -> None:
        place = scope.get()
        self._hash = object.__hash__(self) if place is None else place.future_hash()
        self._maker = program.get()
        super().__init__(children, loop=loop)  # pyright: ignore[reportUnknownMemberType]

    def __hash__(self) -> int:
        return self._hash


def make_asyncio_deterministic() -> None:
    """Make asyncio deterministic in programs. Called in worker processes, before user code.

    Outside programs nothing changes.
    """
    tasks = {"as_completed": _in_order, "all_tasks": _own_tasks}
    asyncio.__dict__.update(tasks, Future=Future)
    asyncio.tasks.__dict__.update(tasks, _GatheringFuture=_GatheringFuture)
    asyncio.futures.__dict__.update(Future=Future)
