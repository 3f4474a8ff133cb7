"""The options of a pool, and their validation."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from greenroom.messages.core.other_names import with_hints
from greenroom.supervision.policy.restart_strategy import StrategyName

if TYPE_CHECKING:
    from greenroom.messages.core.times import Seconds

BackendName: TypeAlias = Literal["zygote", "spawn"]


@with_hints
@dataclass(frozen=True, slots=True)
class Pool:
    """The options of one pool. Public: the values of ``Orchestrator(pools={...})``.

    Attributes:
        size: Most worker processes at once; None means the default of the pool's kind.
        strategy: Which workers are restarted when one dies.
        max_restarts: Restarts allowed within ``within`` seconds before the pool gives up.
        within: Length of that window in seconds.
        memory_mb: Memory that a worker may allocate in MiB; None means no limit. The imported app counts, the stacks of
            Python's threads do not. An allocation beyond the limit raises ``MemoryError``.
        cpu: CPU seconds that one attempt may use, rounded up to whole seconds; None means no limit. Workers that run
            several jobs at once may use them in their life.
        open_files: Descriptors that a worker may have open at once.
        workdir: Folder that a worker works in; None means the orchestrator's.
        env: Names of environment variables that its workers may see.
        concurrency: Jobs a worker runs at once; None means the default of the kind. Tool and evaluator workers run one.
        idle_after: Seconds without work after which a worker is stopped.
        max_jobs: Jobs after which a worker's process is replaced; None means no bound.
        max_rss_mb: Resident size in MiB above which a worker's process is replaced; None means no bound.
        fresh: Whether each attempt gets its own process. Otherwise tools of an app share processes one after another
            and are not isolated: a tool may find module state or threads that an earlier one has left.
        backend: ``"zygote"`` forks warm workers; ``"spawn"`` starts fresh interpreters, for modules that start threads
            when imported and so cannot be forked.

    Raises:
        TypeError: An option has the wrong type. The message names all options that are wrong.
        ValueError: An option has a value outside its range. The message names all options that are wrong.
    """

    size: int | None = None
    strategy: StrategyName = "one_for_one"
    max_restarts: int = 5
    within: float = 60.0
    memory_mb: int | None = None
    cpu: float | None = None
    open_files: int = 1024
    workdir: str | os.PathLike[str] | None = None
    env: tuple[str, ...] = ()
    concurrency: int | None = None
    idle_after: float = 60.0
    max_jobs: int | None = None
    max_rss_mb: int | None = None
    fresh: bool = False
    backend: BackendName = "zygote"

    if TYPE_CHECKING:  # the accepted types, which are wider than the types of the attributes

        def __init__(  # noqa: PLR0913, PLR0917  as many as there are options
            self,
            size: int | None = None,
            strategy: StrategyName = "one_for_one",
            max_restarts: int = 5,
            within: Seconds = 60.0,
            memory_mb: int | None = None,
            cpu: Seconds | None = None,
            open_files: int = 1024,
            workdir: str | os.PathLike[str] | None = None,
            env: tuple[str, ...] = (),
            concurrency: int | None = None,
            idle_after: Seconds = 60.0,
            max_jobs: int | None = None,
            max_rss_mb: int | None = None,
            fresh: bool = False,  # noqa: FBT001, FBT002
            backend: BackendName = "zygote",
        ) -> None: ...

    def __post_init__(self) -> None:
        """Convert times to seconds, and raise one error for all invalid options."""
        for name in _TIMES:
            if isinstance(value := getattr(self, name), timedelta):
                object.__setattr__(self, name, value.total_seconds())
        found = [(name, fault) for name in _CHECKS for fault in _CHECKS[name](getattr(self, name))]
        if not found:
            return
        kind = TypeError if any(isinstance(fault, TypeError) for _, fault in found) else ValueError
        msg = "a pool cannot be kept like this:" + "".join(f"\n  {name}: {fault}" for name, fault in found)
        raise kind(msg if len(found) > 1 else f"a pool's {found[0][0]} {found[0][1]}")


Check: TypeAlias = Callable[[Any], Iterator[Exception]]


def _whole(least: int, most: int, *, optional: bool = True) -> Check:
    def check(value: object) -> Iterator[Exception]:
        if value is None and optional:
            return
        if type(value) is not int:
            yield TypeError(f"is a whole number{' or None' if optional else ''}, not {value!r}")
        elif value < least:
            yield ValueError(f"is at least {least}, not {value!r}")
        elif value > most:
            yield ValueError(f"is at most {most:,}, not {value!r}")

    return check


def _seconds(*, optional: bool = False) -> Check:
    def check(value: object) -> Iterator[Exception]:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield TypeError(f"is a number of seconds{' or None' if optional else ''}, not {value!r}")
        elif not value > 0:
            yield ValueError(f"is a time above 0 s, not {value!r}")
        elif value > LONGEST or not math.isfinite(value):
            yield ValueError(f"is a time of at most {LONGEST:,} s, not {value!r}")

    return check


def _one_of(choices: tuple[object, ...]) -> Check:
    def check(value: object) -> Iterator[Exception]:
        if value not in choices:
            yield ValueError(f"is one of {', '.join(map(repr, choices))}, not {value!r}")

    return check


def _names(value: object) -> Iterator[Exception]:
    if not isinstance(value, tuple):
        yield TypeError(f'is a tuple of names, such as ("HOME",), not {value!r}')
        return
    for name in cast("tuple[object, ...]", value):
        if not isinstance(name, str):
            yield TypeError(f"holds names, and {name!r} is not one")
        elif not name or "=" in name or "\0" in name:
            yield ValueError(f"holds names, and no variable can be called {name!r}")


def _yes_or_no(value: object) -> Iterator[Exception]:
    if not isinstance(value, bool):
        yield TypeError(f"is True or False, not {value!r}")


def _folder(value: object) -> Iterator[Exception]:
    if value is None:
        return
    if not isinstance(value, (str, os.PathLike)):
        yield TypeError(f"is the path of a folder or None, not {value!r}")
    elif not os.path.isdir(cast("str", value)):  # noqa: PTH112  any kind of path
        yield ValueError(f"is the path of a folder, and there is none at {os.fspath(cast('str', value))!r}")


LONGEST: Final = 10 * 365 * 24 * 3600
"""Longest accepted time in seconds: ten years."""
MOST_PROCESSES: Final = 10_000
MOST_MIB: Final = 2**30
"""Largest memory limit in MiB, one pebibyte: limits in bytes must fit in 63 bits."""
MOST_FILES: Final = 2**20
"""Largest limit of open files: the default ceiling of Linux."""

_CHECKS: Final[dict[str, Check]] = {
    "size": _whole(1, MOST_PROCESSES),
    "strategy": _one_of(get_args(StrategyName)),
    "max_restarts": _whole(0, 2**31, optional=False),
    "within": _seconds(),
    "memory_mb": _whole(1, MOST_MIB),
    "cpu": _seconds(optional=True),
    "open_files": _whole(17, MOST_FILES, optional=False),
    "workdir": _folder,
    "env": _names,
    "concurrency": _whole(1, MOST_PROCESSES),
    "idle_after": _seconds(),
    "max_jobs": _whole(1, 2**31),
    "max_rss_mb": _whole(1, MOST_MIB),
    "fresh": _yes_or_no,
    "backend": _one_of(get_args(BackendName)),
}
_TIMES: Final = ("within", "cpu", "idle_after")
"""Options that also accept a ``timedelta``."""
