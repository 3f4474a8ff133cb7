"""Tasks and futures that hash by their place in the program instead of their address.

What goes through a set of tasks does so in the order of their hashes: a ``TaskGroup`` that cancels what is left, the
``done`` and ``pending`` of ``asyncio.wait``, ``asyncio.as_completed``, and users' own code. With these hashes it is the
same order on every replay, and mostly the one in which they were made. They are equal by identity, as ever.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from typing_extensions import override

from greenroom.actors.context import ProgramPort, program
from greenroom.actors.program.scope import Scope, scope

PlainFuture = asyncio.Future
"""asyncio's own, whatever ``asyncio.Future`` stands for since."""


class ProgramTask(asyncio.Task[Any]):
    """A task of a program.

    Args:
        coroutine: What it runs.
        place: Its scope.
        loop: Runs it.
        name: What it is called; None for a name that follows from its place.
        context: What it runs in. ``place`` is set in it already.
        options: Others of ``asyncio.Task``, which depend on Python's version.
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
        """Make the task; it runs in the loop's next turn."""
        self._hash = place.hash  # before asyncio puts the task into a weak set
        self._maker = context.get(program)
        name = f"Task-{place.path}" if name is None else str(name)
        super().__init__(coroutine, loop=loop, name=name, context=context, **options)

    @override
    def __hash__(self) -> int:
        return self._hash


class _IsFuture(type):
    """Has every future of asyncio's pass for a ``Future``, as it did before ``asyncio.Future`` was replaced."""

    @override
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, PlainFuture) if cls is Future else super().__instancecheck__(instance)

    @override
    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, PlainFuture) if cls is Future else super().__subclasscheck__(subclass)


class Future(PlainFuture[Any], metaclass=_IsFuture):
    """A future that hashes by its place where a program makes it, else by its address."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Make a future that is not done."""
        place = scope.get()
        self._hash = object.__hash__(self) if place is None else place.future_hash()
        self._maker = program.get()
        super().__init__(loop=loop)

    @override
    def __hash__(self) -> int:
        return self._hash


def maker(future: object) -> ProgramPort | None:
    """Give the program that made a task or a future, None where none did or it is not known. Nothing here can raise."""
    try:
        return object.__getattribute__(future, "_maker")  # type: ignore[no-any-return]
    except AttributeError:  # one of asyncio's own, which takes no notes
        return None
