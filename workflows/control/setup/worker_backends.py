"""Choose the process backend of an app's workers."""

import asyncio
import sys
from functools import partial
from pathlib import Path

from loguru import logger

from greenroom.actors.program.source_location import dumped_place
from greenroom.supervision.jobs import Backend, Entry, Pool
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.process.output_sources import OutputListener
from greenroom.supervision.zygote.backend import ZygoteBackend
from greenroom.supervision.zygote.keeper_process import FirstKeeper
from greenroom.supervision.zygote.spawn_backend import SpawnBackend
from greenroom.workflows.control.setup.app_options import Apps
from greenroom.workflows.control.setup.opening import PREPARE


def make_backend(
    app: str,
    pool: Pool,
    loop: asyncio.AbstractEventLoop,
    generation: GenerationLock,
    apps: Apps,
    on_output: OutputListener | None = None,
    *,
    first: FirstKeeper | None = None,
) -> Backend:
    """Return the backend of an app; no process is started yet. All its processes will inherit the lock.

    Args:
        app: Reference of the app.
        pool: Settings of its first pool.
        loop: The reactor's loop.
        generation: The lock that all processes of the orchestrator inherit.
        apps: How apps are imported.
        on_output: Called with the output of its workers.
        first: A keeper that was started before.
    """
    script = sys.argv[:1] and str(Path(sys.argv[0]).absolute()) == app
    entry = Entry(
        prepare=PREPARE,
        preload="greenroom.actors.app.loader:preload",
        preload_to_fork="greenroom.actors.app.loader:preload_to_fork",
        main="greenroom.actors.worker.main:main",
        path=tuple(sys.path),
        argv=(app, *sys.argv[1:]) if script else (),  # a script may read its arguments before its definitions
    )
    kind = ZygoteBackend if pool.backend == "zygote" else SpawnBackend
    return kind(
        app,
        entry,
        loop,
        generation=generation,
        first=first,
        given=apps.given,
        by_kind=apps.needed.setdefault(app, {}),
        on_output=on_output,
        start_timeout=apps.timeout,
        place=dumped_place,
        on_slow=partial(apps.slow.note, app),
        on_threaded=partial(logger.warning, "{}"),
    )
