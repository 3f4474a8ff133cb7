"""Twins for asynchronous code: the methods of a plain object, called in threads and awaited."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from greenroom.messages.core.other_names import OtherNames
from greenroom.workflows.api.threads import Threads

P = ParamSpec("P")
Q = TypeVar("Q")
T = TypeVar("T")


class Twin(OtherNames, Generic[Q]):
    """An object for asynchronous code that has the methods of another one, which blocks. Thread-safe, on any loop.

    Attributes:
        plain: The object that blocks.
    """

    def __init__(self, plain: Q, threads: Threads) -> None:
        """Call the methods of ``plain`` in ``threads``."""
        self.plain = plain
        self._call = threads.call


def awaited(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Twin[Any], P], Coroutine[Any, Any, T]]:
    """Return the twin of a plain object's method: a coroutine function with the same arguments, result and errors."""

    @wraps(method)
    async def call(self: Twin[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._call(getattr(self.plain, method.__name__), *args, **kwargs)  # pyright: ignore[reportPrivateUsage]
        return result

    call.__qualname__ = f"Async{method.__qualname__}"  # the name in Python's warning about a coroutine never awaited
    return call
