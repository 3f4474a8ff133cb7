"""What asyncio leaves to chance, in the order in which it was written: else a replay might take another way.

``asyncio.as_completed`` puts what it is given into a set. Coroutines become tasks in whatever order the set has them,
which is that of their addresses; each task has its place in the program's tree from the moment at which it is made.
"""

import asyncio
from collections.abc import Iterable
from functools import wraps
from typing import Any

_as_completed = asyncio.as_completed


@wraps(_as_completed)
def _in_order(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    return _as_completed([asyncio.ensure_future(each) for each in fs], timeout=timeout)


def put_in_order() -> None:
    """Have ``asyncio.as_completed`` make tasks in the order of its arguments. In worker processes, before user code."""
    asyncio.as_completed = _in_order
