"""Choose the process backend of an app's workers."""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import get_args

from greenroom.actors.program.source_location import dumped_place
from greenroom.messages.core.times import seconds
from greenroom.messages.policy import WorkerKind
from greenroom.supervision.jobs import Backend, Entry, Pool
from greenroom.supervision.kernel.generation_lock import GenerationLock
from greenroom.supervision.policy.worker_environment import Given, read_given
from greenroom.supervision.process.output_sources import OutputListener
from greenroom.supervision.zygote.backend import START_TIMEOUT as IMPORT_TIMEOUT
from greenroom.supervision.zygote.backend import ZygoteBackend
from greenroom.supervision.zygote.import_progress import SlowImports
from greenroom.supervision.zygote.keeper_process import FirstKeeper
from greenroom.supervision.zygote.spawn_backend import SpawnBackend
from greenroom.workflows.control.opening import PREPARE
from greenroom.workflows.home.project import given_to_apps, read_project


@dataclass(frozen=True, slots=True)
class Apps:
    """How apps are imported.

    Attributes:
        given: The environment variables that apps are given by name.
        timeout: Seconds that an import may take.
        slow: The imports that are slow now.
    """

    given: Given
    timeout: float
    slow: SlowImports = field(default_factory=SlowImports)


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
        on_output=on_output,
        start_timeout=apps.timeout,
        place=dumped_place,
        on_slow=partial(apps.slow.note, app),
    )


def read_apps(
    env: Iterable[str] | Mapping[str, str], timeout: float | timedelta | None, pools: Mapping[str, Pool]
) -> Apps:
    """Return how apps are imported, from the orchestrator's options and the project's ``pyproject.toml``.

    A variable that is given to some pools is withheld from the others. If it is given to all four kinds of pools, it is
    also set during the import, which happens once for all of them.

    Raises:
        DefinitionError: The project's table is wrong.
        TypeError: ``env`` or ``timeout`` has the wrong type.
        ValueError: An item of ``env`` names no variable, or ``timeout`` is not above 0.
    """
    limit = None if timeout is None else seconds(timeout, "import_timeout")
    if limit == 0:
        msg = f"import_timeout is a time above 0 s, not {timeout!r}"
        raise ValueError(msg)
    project = read_project()
    given = given_to_apps(project, read_given(env))
    for_all = frozenset[str]()
    named = [frozenset(pool.env) for pool in pools.values()]
    if pools.keys() >= set(get_args(WorkerKind)):
        for_all = named[0].intersection(*named[1:])
    reserved = frozenset[str]().union(*named) - for_all
    return Apps(Given(given.names | for_all, given.values, reserved), limit or project.import_timeout or IMPORT_TIMEOUT)
