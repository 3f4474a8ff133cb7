"""Which processes an app's workers are: the one place where backends are chosen."""

import asyncio
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import get_args

from understudy.actors import faking
from understudy.actors.models import DEFAULT_VARIABLE
from understudy.actors.models.script import VARIABLE as SCRIPTS
from understudy.messages.policy import WorkerKind
from understudy.supervision.backend_spawn import SpawnBackend
from understudy.supervision.backend_zygote import ZygoteBackend
from understudy.supervision.generation import GenerationLock
from understudy.supervision.protocol import Backend, Entry, Pool
from understudy.supervision.sources import OutputListener


def make_backend(
    app: str,
    pool: Pool,
    loop: asyncio.AbstractEventLoop,
    generation: GenerationLock,
    env: Collection[str] = (),
    on_output: OutputListener | None = None,
) -> Backend:
    """Make the backend of an app; nothing runs yet. All its processes inherit the lock.

    Args:
        app: Reference of the app.
        pool: How the first pool of it is kept.
        loop: The reactor's loop.
        generation: The lock.
        env: Names of the variables that every process of the app may see; see ``common_env``.
        on_output: Hears what its workers write.
    """
    script = sys.argv[:1] and str(Path(sys.argv[0]).absolute()) == app
    entry = Entry(
        preload="understudy.actors.app:preload",
        main="understudy.actors.host:main",
        path=tuple(sys.path),
        argv=(app, *sys.argv[1:]) if script else (),  # a script reads its arguments on the way to its definitions
    )
    kind = ZygoteBackend if pool.backend == "zygote" else SpawnBackend
    names = (DEFAULT_VARIABLE, SCRIPTS, faking.VARIABLE, *env)
    return kind(app, entry, loop, generation=generation, env=names, on_output=on_output)


def common_env(pools: Mapping[str, Pool]) -> frozenset[str]:
    """Give the names of the variables that every pool may see, by what each of them was given.

    The app is imported once for all pools, so only these are there while it is. A pool that is not mentioned has none.
    """
    if not pools.keys() >= set(get_args(WorkerKind)):
        return frozenset()
    given = [set(pool.env) for pool in pools.values()]
    return frozenset(name for name in given[0] if all(name in names for names in given))
