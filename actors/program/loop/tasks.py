"""Tasks and futures that hash by their place in the program instead of their address.

Sets of tasks are iterated in the order of hashes: by a ``TaskGroup`` that cancels the rest, in ``done`` and ``pending``
of ``asyncio.wait``, in ``asyncio.as_completed``, and by users' own code. With these hashes the order is the same on
every replay, and mostly the order of creation. Equality is still identity.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from typing_extensions import override

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.program.scope import Scope, scope

PlainFuture = asyncio.Future
"""asyncio's own class, even after ``asyncio.Future`` was replaced."""


class ProgramTask(asyncio.Task[Any]):
    """A task of a program.

    Args:
        coroutine: The coroutine to run.
        place: The task's scope.
        loop: The loop that runs it.
        name: Name of the task; None for a name derived from its place.
        context: The context to run in. ``place`` is already set in it.
        options: Other arguments of ``asyncio.Task``, which depend on the version of Python.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        place: Scope,
        *,
        loop: asyncio.AbstractEventLoop,
        name: object = None,
        context: Context,
        **options: Any,
    ) -> None:
        """Create the task; it runs in the loop's next turn."""
        self._hash = place.hash  # before asyncio puts the task into a weak set
        self._maker = context.get(program)
        name = f"Task-{place.path}" if name is None else str(name)
        super().__init__(coroutine, loop=loop, name=name, context=context, **options)

    @override
    def __hash__(self) -> int:
        return self._hash


class _IsFuture(type):
    """Makes every future of asyncio an instance of ``Future``, as before ``asyncio.Future`` was replaced."""

    @override
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, PlainFuture) if cls is Future else super().__instancecheck__(instance)

    @override
    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, PlainFuture) if cls is Future else super().__subclasscheck__(subclass)


class Future(PlainFuture[Any], metaclass=_IsFuture):
    """A future that hashes by its place if a program creates it, and otherwise by its address."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Create a pending future."""
        place = scope.get()
        self._hash = object.__hash__(self) if place is None else place.future_hash()
        self._maker = program.get()
        super().__init__(loop=loop)

    @override
    def __hash__(self) -> int:
        return self._hash


def maker(future: object) -> ProgramPort | None:
    """Return the program that created a task or future, or None if there is none or it is unknown. Never raises."""
    try:
        return object.__getattribute__(future, "_maker")  # type: ignore[no-any-return]
    except AttributeError:  # a future of asyncio itself, which has no such note
        return None
