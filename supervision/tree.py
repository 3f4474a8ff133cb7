"""The root supervisor: one backend per app, the pools above it, and the order in which all of it goes down."""

import difflib
import os
import random
from asyncio import FIRST_COMPLETED, Event, Future, Task, wait
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from greenroom.messages.advice import list_workers
from greenroom.messages.core.errors import DefinitionError, WorkerNotFound
from greenroom.messages.policy import Limits
from greenroom.messages.records import ActorRecord, WorkerRecord
from greenroom.supervision.jobs import Backend, Job, JobHandle, Pool, PoolKey, Submit
from greenroom.supervision.loop.actor import LoopRef
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.policy.restart_intensity import Budget
from greenroom.supervision.pool.actor import PoolActor
from greenroom.supervision.pool.events import EventHook, WorkerEvent
from greenroom.supervision.pool.start_limiter import StartLimiter
from greenroom.supervision.pool.worker_ids import Names
from greenroom.supervision.pool.worker_slot import START_TIMEOUT, STOP_GRACE
from greenroom.supervision.pool.worker_supervisor import Means
from greenroom.supervision.zygote.import_progress import SlowImports
from greenroom.supervision.zygote.isolated_backends import BackendFactory, IsolatedBackends

ZYGOTE_DEATHS: Final = 5
"""Deaths of an app's zygote within ``ZYGOTE_WITHIN`` after which its pools give up for as long."""
ZYGOTE_WITHIN: Final = 60.0
"""Seconds."""
CLEANUP: Final = 0.5
"""Seconds that asynchronous code has to end by itself once it was cancelled because its orchestrator ends."""
WORKER_MB: Final = 8
"""MiB of memory that a worker needs besides the app."""


@dataclass(eq=False, slots=True)
class _House:
    """One backend, and the pools whose workers it makes. Written by the tree only."""

    app: str
    backend: Backend
    pools: list[PoolActor] = field(default_factory=list[PoolActor])
    budget: Budget = field(default_factory=lambda: Budget(ZYGOTE_DEATHS, ZYGOTE_WITHIN))
    """The deaths of the backend's zygotes: the restart intensity above that of the pools."""
    losses: int = 0
    loaded: bool = False
    """Whether the app has been loaded, so that pools may begin workers."""
    loading: "Task[None] | None" = None


def _ignore(_event: WorkerEvent) -> None:
    """Do nothing: where nobody wants to hear of workers."""


class Tree:
    """The supervision tree. Every method is called on the reactor's thread and returns without waiting.

    An app whose backend cannot load it is forgotten after its waiting jobs were told, so the next job tries to load it
    anew. Ask for a pool's ref with each job, therefore, and do not keep it beyond that.

    Args:
        reactor: Where everything runs.
        backend_factory: Makes backends; they are started here.
        pools: How pools are kept, by pool name or else by kind; the default elsewhere.
        on_event: Hears of every worker's life. Must not block.
        concurrent_starts: Most workers that begin at once in the whole tree; None means twice the CPUs, at least 4.
        start_timeout: Seconds a worker may take to become ready.
        unit: Gives random numbers, at least 0 and below 1, for backoff.
        imports: Knows of imports that take long.
    """

    def __init__(
        self,
        reactor: Reactor,
        backend_factory: BackendFactory,
        pools: Mapping[str, Pool] | None = None,
        *,
        on_event: EventHook = _ignore,
        concurrent_starts: int | None = None,
        start_timeout: float = START_TIMEOUT,
        unit: Callable[[], float] = random.random,
        imports: SlowImports | None = None,
    ) -> None:
        """Begin empty: pools come with the first job for them."""
        self._reactor = reactor
        self._factory = backend_factory
        self._policies = dict(pools or {})
        gate = StartLimiter(concurrent_starts or max(4, 2 * (os.cpu_count() or 1)))
        self._annexes = IsolatedBackends(reactor.loop, backend_factory, self._grow_all)
        self._means = Means(reactor.loop, gate, Names(), on_event, unit, start_timeout, self._annexes)
        self._pools: dict[PoolKey, PoolActor] = {}
        """In start order."""
        self._houses: dict[tuple[str, str], _House] = {}
        """By app and kind of backend, in start order."""
        self._imports = imports if imports is not None else SlowImports()
        self._closed = False
        self._hurried = Event()

    def __repr__(self) -> str:
        """Return the number of backends, pools and workers, for logs."""
        workers = sum(len(pool.supervisor.slots) for pool in self._pools.values())
        return f"<Tree of {len(self._houses)} backends, {len(self._pools)} pools, {workers} workers>"

    # ------------------------------------------------------------ pools

    def pool(self, key: PoolKey, limits: Limits | None = None) -> LoopRef[PoolActor]:
        """Return the pool for a key. The first call for a key creates the pool, and its backend.

        Args:
            key: Which pool.
            limits: The step's own limits, for a pool of its own; they go before those of the pool's policy. Only the
                first call for a key can set them.
        """
        found = self._pools.get(key)
        return (found if found is not None else self._begin(key, limits)).actor_ref

    def has_loaded(self, app: str) -> bool:
        """Return whether a backend has an app loaded, so that its workers can be asked something without a wait."""
        return any(house.loaded for (name, _), house in self._houses.items() if name == app)

    def submit(self, key: PoolKey, limits: Limits | None, job: Job) -> JobHandle:
        """Submit a job to its pool; return the handle for further orders about it."""
        tell = self.pool(key, limits).tell
        tell(Submit(job))
        return JobHandle(tell, job.token)

    def _begin(self, key: PoolKey, limits: Limits | None) -> PoolActor:
        policy = self._policies.get(key.name) or self._policies.get(key.kind) or Pool()
        where = (key.app, policy.backend)
        house = self._houses.get(where)
        if house is None:
            house = _House(key.app, self._factory(key.app, key, policy))
            house.backend.on_lost = partial(self._lost, house)
            self._houses[where] = house
        pool = PoolActor.create(
            self._reactor, key, policy, house.backend, limits=_together(policy, limits), means=self._means
        )
        self._pools[key] = pool
        house.pools.append(pool)
        if self._closed:
            pool.refuse_for_good("The orchestrator is closed.")
        elif house.loaded:
            _open(pool, house)
        elif house.loading is None:
            house.loading = self._reactor.loop.create_task(self._load(where, house))
        return pool

    async def _load(self, where: tuple[str, str], house: _House) -> None:
        """Have the backend load its app, and open or refuse its pools."""
        try:
            await house.backend.start()
        except (DefinitionError, OSError) as error:
            reason = str(error)
        else:
            house.loaded = True
            for pool in house.pools:
                _open(pool, house)
            return
        self._houses.pop(where, None)
        for pool in house.pools:
            self._pools.pop(pool.key, None)
            pool.refuse_for_good(reason)
        await house.backend.close()

    def _lost(self, house: _House, why: str) -> None:
        """Count the loss of a zygote, which has taken the workers of all its pools along; give up after too many."""
        house.losses += 1
        self._annexes.note_loss(house.backend)
        house.budget = house.budget.died(self._reactor.loop.time())
        if house.budget.exceeded and not self._closed:
            house.budget = Budget(ZYGOTE_DEATHS, ZYGOTE_WITHIN)
            reason = (
                f"The process from which the workers of {house.app} are forked dies as often as it is started, and all "
                f"of them with it, so starting it was given up; the last time, {why}. What was running each time is on "
                f"the records of the runs; work for {house.app} is taken again after {ZYGOTE_WITHIN:g} s."
            )
            for pool in house.pools:
                pool.degrade(reason, ZYGOTE_WITHIN)

    def _grow_all(self) -> None:
        """Have pools begin workers that had to wait for others to end."""
        for pool in self._pools.values():
            pool.dispatcher.grow()

    # ------------------------------------------------------------ looking and touching

    def working(self) -> bool:
        """Return whether any pool has a job that waits for a worker or is being done. Idle programs do not count."""
        return any(pool.dispatcher.working for pool in self._pools.values())

    def workers(self) -> list[WorkerRecord]:
        """Describe every worker, pool by pool in start order."""
        return [worker for pool in self._pools.values() for worker in pool.workers()]

    def record(self) -> ActorRecord:
        """Describe the whole tree as it is at this moment."""
        apps = tuple(self._app_record(house) for house in self._houses.values())
        return ActorRecord(
            id="root",
            kind="supervisor",
            status="closed" if self._closed else "running",
            strategy="one_for_one",
            restarts=sum(app.restarts for app in apps),
            children=apps,
        )

    def _app_record(self, house: _House) -> ActorRecord:
        pools = tuple(pool.record() for pool in house.pools)
        slow = None if house.loaded else self._imports.get(house.app)
        detail = f"{house.backend!r}{f', {house.losses} zygotes lost' if house.losses else ''}"
        return ActorRecord(
            id=house.app,
            kind="app",
            status="running" if house.loaded else "loading",
            strategy="one_for_one",
            restarts=sum(pool.restarts for pool in pools),
            detail=detail if slow is None else slow.sentence(),
            children=pools,
        )

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, over the pools there are.

        ``restarts``: lives begun after a death. ``replacements``: lives begun as planned. ``crashes``: deaths charged
        to a job. ``dropped``: messages of workers that nobody waited for.
        """
        pools = self._pools.values()
        return {
            "workers": sum(len(pool.supervisor.slots) for pool in pools),
            "restarts": sum(pool.supervisor.restarts for pool in pools),
            "replacements": sum(pool.supervisor.replacements for pool in pools),
            "crashes": sum(pool.supervisor.crashes for pool in pools),
            "dropped": sum(pool.dispatcher.dropped for pool in pools),
        }

    def kill(self, worker: str, signal: int = 9) -> None:
        """Send a signal to a worker's process as an injected fault.

        Raises:
            WorkerNotFound: There is no such worker; the message names those that are called alike.
        """
        self._pool_of(worker).kill(worker, signal)

    def restart(self, worker: str) -> None:
        """End a worker's process and begin another in its place. What it was doing is done again, uncharged.

        Raises:
            WorkerNotFound: There is no such worker; the message names those that are called alike.
        """
        self._pool_of(worker).restart(worker)

    def _pool_of(self, worker: str) -> PoolActor:
        ids: list[str] = []
        for pool in self._pools.values():
            if worker in pool.supervisor.slots:
                return pool
            ids += pool.supervisor.slots
        alike = " or ".join(f'"{id_}"' for id_ in difflib.get_close_matches(worker, ids, n=3, cutoff=0.5))
        hint = f"Did you mean {alike}?" if alike else f"{list_workers()} shows those that are alive."
        msg = f'There is no worker "{worker}". {hint}'
        raise WorkerNotFound(msg)

    # ------------------------------------------------------------ the end

    async def drain(self, grace: float) -> None:
        """Begin no further job, and wait until no attempt runs, ``grace`` seconds at most.

        Then asynchronous attempts that still run are cancelled, and have ``CLEANUP`` seconds. What attempts answer in
        all that time is heard as ever. ``hurry`` cuts the waiting short.
        """
        ended: list[Future[None]] = []
        for pool in self._pools.values():
            drained: Future[None] = self._reactor.loop.create_future()
            pool.dispatcher.drain(partial(drained.set_result, None))
            ended.append(drained)
        if not await self._all(ended, grace):
            for pool in self._pools.values():
                pool.dispatcher.abort_running()
            await self._all(ended, CLEANUP)

    async def _all(self, ended: list[Future[None]], seconds: float) -> bool:
        """Wait for all of them, for so many seconds or until somebody is in a hurry; say whether all are there."""
        waiting = [future for future in ended if not future.done()]
        if not waiting:
            return True
        hurry = self._reactor.loop.create_task(self._hurried.wait())
        every = self._reactor.loop.create_task(wait(waiting))
        await wait([every, hurry], timeout=seconds, return_when=FIRST_COMPLETED)
        hurry.cancel()
        every.cancel()
        return all(future.done() for future in ended)

    def hurry(self) -> None:
        """Have ``drain`` wait no longer."""
        self._hurried.set()

    async def close(self, grace: float = STOP_GRACE) -> None:
        """End every pool, last begun first, and then the backends. Returns once all processes are confirmed dead.

        Jobs that still run have ``grace`` seconds in all; then SIGTERM and, a second later, SIGKILL end their workers.
        Every job that has not ended by then is told: lost and not charged, or unavailable.
        """
        self._closed = True
        loop = self._reactor.loop
        deadline = loop.time() + grace
        for house in self._houses.values():
            if house.loading is not None and not house.loaded:
                house.loading.cancel()
        for pool in reversed(list(self._pools.values())):
            ended: Future[None] = loop.create_future()
            pool.close(partial(ended.set_result, None), max(0.0, deadline - loop.time()))
            await ended
        await self._annexes.close()
        for house in reversed(list(self._houses.values())):
            await house.backend.close()


def _open(pool: PoolActor, house: _House) -> None:
    """Let a pool begin workers, unless none of them could even hold the app."""
    limit, least = pool.limits.memory_mb, house.backend.holds_mb + WORKER_MB
    if limit is None or not house.backend.holds_mb or limit >= least:
        pool.open()
        return
    pool.refuse_for_good(
        f"Workers of pool {pool.key.name} may have memory_mb={limit}, and {house.app} with what a worker needs takes "
        f"{least} MiB before any work is done: give them at least that, and what the work takes besides."
    )


def _together(policy: Pool, limits: Limits | None) -> Limits:
    """Join the limits of a pool with those of the step that has it to itself."""
    own = limits or Limits()
    workdir = own.workdir or policy.workdir
    return Limits(
        memory_mb=own.memory_mb if own.memory_mb is not None else policy.memory_mb,
        cpu=own.cpu if own.cpu is not None else policy.cpu,
        open_files=policy.open_files,
        env=tuple(dict.fromkeys((*policy.env, *own.env))),
        workdir=None if workdir is None else str(Path(workdir).absolute()),
    )
