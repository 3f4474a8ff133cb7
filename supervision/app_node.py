"""One app of the supervision tree: its import, the pools that wait for it, and the deaths of its zygotes."""

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from typing import Final

from greenroom.messages.core.errors import DefinitionError
from greenroom.supervision.jobs import Backend, ImportKilled
from greenroom.supervision.kernel.namespaces import network_refusal
from greenroom.supervision.policy.restart_intensity import RestartIntensity
from greenroom.supervision.pool.actor import PoolActor
from greenroom.supervision.process.limit_requirements import limits_refusal

ZYGOTE_DEATHS: Final = 5
"""Deaths of an app's zygote within ``ZYGOTE_WITHIN`` seconds after which its pools take no jobs for that long."""
ZYGOTE_WITHIN: Final = 60.0
"""Seconds."""
WORKER_MB: Final = 8
"""MiB of memory that a worker needs besides the app."""


class AppNode:
    """One backend, and the pools whose workers it starts. Reactor thread only; no method blocks.

    The pools start workers once the app is imported. If it cannot be imported, they refuse their jobs, and the node is
    of no further use. If that was no fault of the app, because what imported it was killed again and again, the import
    is put off: the pools give up for a while, and the first job after that begins the import again. Pools also give up
    if zygotes die too often: this is the restart intensity above that of the pools.

    Attributes:
        app: The app.
        backend: Imports the app, and starts the workers.
        pools: The pools, in start order.
        losses: Number of zygotes that have died.
        loaded: Whether the app has been imported, so that pools may start workers.
    """

    def __init__(
        self,
        app: str,
        backend: Backend,
        loop: AbstractEventLoop,
        put_off: "set[AppNode]",
        failed: Callable[["AppNode"], None],
    ) -> None:
        """Import nothing yet.

        Args:
            app: The app.
            backend: Its backend, which is not started.
            loop: The reactor's loop.
            put_off: The nodes whose import was put off and not begun again; this one enters and leaves it.
            failed: Called if the app cannot be imported, before the pools refuse their jobs.
        """
        self.app: Final = app
        self.backend: Final = backend
        self.pools: list[PoolActor] = []
        self.losses = 0
        self.loaded = False
        self._loop = loop
        self._put_off = put_off
        self._failed = failed
        self._intensity = RestartIntensity(ZYGOTE_DEATHS, ZYGOTE_WITHIN)
        self._loading: Task[None] | None = None
        """The import, until it has ended; None if the next job begins it."""
        self._refusal = ""
        """Why the app is not imported before ``_rest_until``."""
        self._rest_until = 0.0
        self._openings: set[Task[None]] = set()
        """Pools that are about to be opened."""
        self._stopped = False

    def add(self, pool: PoolActor) -> None:
        """Add a pool, which starts workers once the app is imported. The first one begins the import."""
        self.pools.append(pool)
        if self.loaded:
            self._open(pool)
        elif (rest := self._rest_until - self._loop.time()) > 0:
            pool.degrade(self._refusal, rest)
        elif self._loading is None:
            self._import()

    def take_up(self) -> None:
        """Begin the import again if it was put off and the time is over."""
        if self in self._put_off and not self._stopped and self._loop.time() >= self._rest_until:
            self._import()

    def reopen(self) -> None:
        """Let the pools take work now, and the next job begin an import that was put off."""
        self._rest_until = self._loop.time()
        for pool in self.pools:
            pool.reopen()

    def note_loss(self, why: str) -> None:
        """Count the loss of a zygote, with which the workers of all pools have died; give up after too many."""
        self.losses += 1
        self._intensity = self._intensity.died(self._loop.time())
        if self._intensity.exceeded and not self._stopped:
            self._intensity = RestartIntensity(ZYGOTE_DEATHS, ZYGOTE_WITHIN)
            self._degrade(
                f"the process from which the workers of {self.app} are forked dies as often as it is started, and all "
                f"of them with it, so starting it was given up; the last time, {why}. What was running each time is on "
                f"the records of the runs; work for {self.app} is taken again after {ZYGOTE_WITHIN:g} s"
            )

    def stop(self) -> None:
        """Import nothing and open no pool from now on. The pools and the backend are still to be closed."""
        self._stopped = True
        if self._loading is not None and not self.loaded:
            self._loading.cancel()

    def _import(self) -> None:
        self._put_off.discard(self)
        self._loading = self._loop.create_task(self._load())

    async def _load(self) -> None:
        """Import the app, then open its pools, or refuse their jobs if that fails."""
        try:
            await self.backend.start()
        except ImportKilled as error:
            self._put_off_import(str(error))
            return
        except (DefinitionError, OSError) as error:
            reason = str(error)
        else:
            self.loaded = True
            for pool in self.pools:
                self._open(pool)
            return
        self._failed(self)
        for pool in self.pools:
            pool.refuse_for_good(reason)
        await self.backend.close()

    def _put_off_import(self, why: str) -> None:
        """Let the pools give up, as the import was killed. The first job after that begins it again."""
        self._loading = None
        self._put_off.add(self)
        self._refusal = (
            f"work for {self.app} is taken again after {ZYGOTE_WITHIN:g} s, as what imports it is killed each time: "
            f"{why}"
        )
        self._rest_until = self._loop.time() + ZYGOTE_WITHIN
        self._degrade(self._refusal)

    def _degrade(self, reason: str) -> None:
        for pool in self.pools:
            pool.degrade(reason, ZYGOTE_WITHIN)

    def _open(self, pool: PoolActor) -> None:
        """Let a pool start workers, after a look at what its limits need."""
        if pool.limits.network:
            self._open_if_possible(pool)
        else:
            task = self._loop.create_task(self._open_offline(pool))
            self._openings.add(task)
            task.add_done_callback(self._openings.discard)

    async def _open_offline(self, pool: PoolActor) -> None:
        """Ask in a thread whether the kernel can keep workers from the network. The first answer takes a process."""
        await self._loop.run_in_executor(None, network_refusal)
        if not self._stopped:
            self._open_if_possible(pool)

    def _open_if_possible(self, pool: PoolActor) -> None:
        """Let a pool start workers, unless their limits cannot be kept here."""
        if refusal := limits_refusal(pool.limits):
            pool.refuse_for_good(f"workers of pool {pool.key.name} cannot start: {refusal}")
            return
        limit, least = pool.limits.memory_mb, self.backend.holds_mb + WORKER_MB
        if limit is None or not self.backend.holds_mb or limit >= least:
            pool.open()
            return
        pool.refuse_for_good(
            f"workers of pool {pool.key.name} may have memory_mb={limit}, and {self.app} with what a worker needs "
            f"takes {least} MiB before any work is done: give them at least that, and what the work takes besides"
        )
