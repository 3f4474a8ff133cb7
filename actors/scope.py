"""Where in a program's tree of tasks code is running, and the names that follow from it.

Every task of a program has a scope: the root task's path is empty, and the n-th task that a task creates appends ``n``
to its path. A call is named after its scope, what it calls, and how often this scope has called that before. The name
depends on nothing that other tasks do, so concurrent branches keep their names on replay whatever order they finish in.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any


class Scope:
    """One task's place in the tree, and the names it has given out. Used on the program's loop only."""

    __slots__ = ("_calls", "_children", "path")

    def __init__(self, path: str = "") -> None:
        """Begin with no children and no calls."""
        self.path = path
        self._children = 0
        self._calls: Counter[str] = Counter()

    def child(self) -> "Scope":
        """Give the scope of the next task that this one creates."""
        self._children += 1
        return Scope(f"{self.path}.{self._children}" if self.path else str(self._children))

    def key(self, name: str, label: str | None = None) -> str:
        """Name the next call of ``name``: ``search#1``, in a child task ``2.1/search#1``, labelled ``search[eu]#1``."""
        place, number = self.call(f"{name}[{label}]" if label is not None else name)
        return f"{place}#{number}"

    def call(self, name: str) -> tuple[str, int]:
        """Give the two halves of the next call's name: ``2.1/search``, and its number."""
        self._calls[name] += 1
        return f"{self.path}/{name}" if self.path else name, self._calls[name]


scope: ContextVar[Scope | None] = ContextVar("understudy_scope", default=None)
"""The scope of the running task, None outside of programs."""


def scoped_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    *,
    adopt: Callable[[asyncio.Task[Any]], None],
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """Create a task with a scope below the creator's; ``adopt`` hears of tasks that belong to a program."""
    parent = scope.get()
    if parent is None:
        return asyncio.Task(coroutine, loop=loop, context=context, **options)
    context = copy_context() if context is None else context.copy()
    context.run(scope.set, parent.child())
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context, **options)
    adopt(task)
    return task
