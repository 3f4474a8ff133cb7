"""What asyncio leaves to chance, in an order that follows from the program: else a replay might take another way.

``asyncio.as_completed`` puts what it is given into a set. Coroutines become tasks in whatever order the set has them,
which is that of their addresses; each task has its place in the program's tree from the moment at which it is made.
Futures hash by their addresses, as tasks do (see ``tasks``), and ``asyncio.all_tasks`` gives those of every program in
the process.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import wraps
from typing import Any

from greenroom.actors.context import program
from greenroom.actors.program.scope import scope
from greenroom.actors.program.tasks import Future

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
    """What ``asyncio.gather`` gives, hashing like a ``Future``."""

    def __init__(self, children: Sequence[Any], *, loop: asyncio.AbstractEventLoop) -> None:
        place = scope.get()
        self._hash = object.__hash__(self) if place is None else place.future_hash()
        self._maker = program.get()
        super().__init__(children, loop=loop)  # pyright: ignore[reportUnknownMemberType]

    def __hash__(self) -> int:
        return self._hash


def put_in_order() -> None:
    """Have asyncio do in programs what it does in an order of the program's own. In worker processes, before user code.

    Outside of programs nothing changes.
    """
    tasks = {"as_completed": _in_order, "all_tasks": _own_tasks}
    asyncio.__dict__.update(tasks, Future=Future)
    asyncio.tasks.__dict__.update(tasks, _GatheringFuture=_GatheringFuture)
    asyncio.futures.__dict__.update(Future=Future)
