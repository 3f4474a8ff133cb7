"""Which processes an app's workers are: the one place where backends are chosen."""

import asyncio
import sys
from pathlib import Path

from understudy.actors.models import DEFAULT_VARIABLE
from understudy.actors.models.script import VARIABLE
from understudy.supervision.backend_spawn import SpawnBackend
from understudy.supervision.backend_zygote import ZygoteBackend
from understudy.supervision.generation import GenerationLock
from understudy.supervision.protocol import Backend, Entry, Pool


def make_backend(app: str, pool: Pool, loop: asyncio.AbstractEventLoop, generation: GenerationLock) -> Backend:
    """Make the backend of an app; nothing runs yet. All its processes inherit the lock."""
    script = sys.argv[:1] and str(Path(sys.argv[0]).absolute()) == app
    entry = Entry(
        preload="understudy.actors.app:preload",
        main="understudy.actors.host:main",
        path=tuple(sys.path),
        argv=(app, *sys.argv[1:]) if script else (),  # a script reads its arguments on the way to its definitions
    )
    kind = ZygoteBackend if pool.backend == "zygote" else SpawnBackend
    env = (DEFAULT_VARIABLE, VARIABLE, *pool.env)
    return kind(app, entry, loop, generation=generation, env=env)
