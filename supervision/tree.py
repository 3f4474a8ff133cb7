"""The root supervisor: one backend per app, its pools, and the order in which they are shut down."""

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
from greenroom.messages.options.policy import Limits
from greenroom.messages.records.records import ActorRecord, WorkerRecord
from greenroom.supervision.jobs import Backend, ImportKilled, Job, JobHandle, Pool, PoolKey, Submit
from greenroom.supervision.kernel.namespaces import network_refusal
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.policy.restart_intensity import RestartIntensity
from greenroom.supervision.pool.actor import PoolActor
from greenroom.supervision.pool.events import EventHook, WorkerEvent
from greenroom.supervision.pool.workers.start_limiter import StartLimiter
from greenroom.supervision.pool.workers.worker_ids import Names
from greenroom.supervision.pool.workers.worker_slot import START_TIMEOUT, STOP_GRACE
from greenroom.supervision.pool.workers.worker_supervisor import SharedResources
from greenroom.supervision.process.limit_requirements import limits_refusal
from greenroom.supervision.zygote.import_progress import SlowImports
from greenroom.supervision.zygote.isolated_backends import BackendFactory, IsolatedBackends

ZYGOTE_DEATHS: Final = 5
"""Deaths of an app's zygote within ``ZYGOTE_WITHIN`` seconds after which its pools take no jobs for that long."""
ZYGOTE_WITHIN: Final = 60.0
"""Seconds."""
CLEANUP: Final = 0.5
"""Seconds that asynchronous code has to end after it was cancelled because the orchestrator closes."""
WORKER_MB: Final = 8
"""MiB of memory that a worker needs besides the app."""


@dataclass(eq=False, slots=True)
class _AppNode:
    """One backend and the pools whose workers it starts. Written by the tree only."""

    app: str
    backend: Backend
    pools: list[PoolActor] = field(default_factory=list[PoolActor])
    intensity: RestartIntensity = field(default_factory=lambda: RestartIntensity(ZYGOTE_DEATHS, ZYGOTE_WITHIN))
    """The deaths of the backend's zygotes: the restart intensity above that of the pools."""
    losses: int = 0
    loaded: bool = False
    """Whether the app has been loaded, so that pools may start workers."""
    loading: "Task[None] | None" = None
    """The import, until it has ended; None if the next job begins it."""
    refusal: str = ""
    """Why the app is not imported before ``rest_until``."""
    rest_until: float = 0.0


def _ignore(_event: WorkerEvent) -> None:
    """Do nothing. Used if no listener for events of workers is given."""


class Tree:
    """The supervision tree. Reactor thread only; no method blocks.

    If an app cannot be loaded, its waiting jobs are refused and its pools are removed. The next job loads the app
    again. So request a pool's ref for each job, and do not keep it. If that was no fault of the app, because what
    imported it was killed again and again, its pools give up for a while like pools whose workers were killed.

    Args:
        reactor: The reactor that runs the tree.
        backend_factory: Returns new backends; the tree starts them.
        pools: Options of pools, by pool name or by kind. Other pools have the defaults.
        on_event: Called with every event of workers and pools. Must not block.
        concurrent_starts: Most workers that start at once in the whole tree; None means twice the CPUs, at least 4.
        start_timeout: Seconds a worker may take to become ready.
        unit: Returns random numbers, at least 0 and below 1, for backoff.
        imports: The imports that take long.
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
        """Start without pools; each is created with its first job."""
        self._reactor = reactor
        self._factory = backend_factory
        self._policies = dict(pools or {})
        gate = StartLimiter(concurrent_starts or max(4, 2 * (os.cpu_count() or 1)))
        self._isolated_backends = IsolatedBackends(reactor.loop, backend_factory, self._grow_all)
        self._resources = SharedResources(
            reactor.loop, gate, Names(), on_event, unit, start_timeout, self._isolated_backends
        )
        self._pools: dict[PoolKey, PoolActor] = {}
        """In start order."""
        self._nodes: dict[tuple[str, str], _AppNode] = {}
        """By app and kind of backend, in start order."""
        self._put_off: dict[tuple[str, str], _AppNode] = {}
        """Those of them whose import was killed again and again."""
        self._imports = imports if imports is not None else SlowImports()
        self._looks: set[Task[None]] = set()
        """Pools that are about to be opened."""
        self.gates: Callable[[], tuple[ActorRecord, ...]] = tuple
        """Returns the records of models and tools whose calls are limited."""
        self._closed = False
        self._hurried = Event()

    def __repr__(self) -> str:
        """Return the number of backends, pools and workers, for logs."""
        workers = sum(len(pool.supervisor.slots) for pool in self._pools.values())
        return f"<Tree of {len(self._nodes)} backends, {len(self._pools)} pools, {workers} workers>"

    # ------------------------------------------------------------ pools

    def pool(self, key: PoolKey, limits: Limits | None = None) -> PoolActor:
        """Return the pool for a key. The first call for a key creates the pool, and its backend.

        Args:
            key: Which pool.
            limits: The step's own limits, if the step has its own pool. They override the limits of the pool's options.
                Only the first call for a key can set them.
        """
        found = self._pools.get(key)
        if found is None:
            return self._begin(key, limits)
        if self._put_off:
            self._take_up(found)
        return found

    def has_loaded(self, app: str) -> bool:
        """Return whether a backend has loaded an app, so that its workers answer questions without delay."""
        return any(node.loaded for (name, _), node in self._nodes.items() if name == app)

    def submit(self, key: PoolKey, limits: Limits | None, job: Job) -> JobHandle:
        """Submit a job to its pool; return the handle for further orders about it."""
        pool = self.pool(key, limits)
        pool.order(Submit(job))
        return JobHandle(pool.order, job.token)

    def _begin(self, key: PoolKey, limits: Limits | None) -> PoolActor:
        policy = self._policies.get(key.name) or self._policies.get(key.kind) or Pool()
        where = (key.app, policy.backend)
        node = self._nodes.get(where)
        if node is None:
            node = _AppNode(key.app, self._factory(key.app, key, policy))
            node.backend.on_lost = partial(self._lost, node)
            self._nodes[where] = node
        pool = PoolActor.create(
            self._reactor, key, policy, node.backend, limits=_together(policy, limits), resources=self._resources
        )
        self._pools[key] = pool
        node.pools.append(pool)
        if self._closed:
            pool.refuse_for_good("the orchestrator is closed")
        elif node.loaded:
            self._open(pool, node)
        elif (rest := node.rest_until - self._reactor.loop.time()) > 0:
            pool.degrade(node.refusal, rest)
        elif node.loading is None:
            self._import(where, node)
        return pool

    def _import(self, where: tuple[str, str], node: _AppNode) -> None:
        self._put_off.pop(where, None)
        node.loading = self._reactor.loop.create_task(self._load(where, node))

    async def _load(self, where: tuple[str, str], node: _AppNode) -> None:
        """Load the app in its backend, then open its pools, or refuse their jobs if it does not load."""
        try:
            await node.backend.start()
        except ImportKilled as error:
            self._put_off_import(where, node, str(error))
            return
        except (DefinitionError, OSError) as error:
            reason = str(error)
        else:
            node.loaded = True
            for pool in node.pools:
                self._open(pool, node)
            return
        self._nodes.pop(where, None)
        for pool in node.pools:
            self._pools.pop(pool.key, None)
            pool.refuse_for_good(reason)
        await node.backend.close()

    def _put_off_import(self, where: tuple[str, str], node: _AppNode, why: str) -> None:
        """Let the pools of an app whose import was killed give up. The first job after that begins it again."""
        node.loading = None
        node.refusal = (
            f"work for {node.app} is taken again after {ZYGOTE_WITHIN:g} s, as what imports it is killed each time: "
            f"{why}"
        )
        node.rest_until = self._reactor.loop.time() + ZYGOTE_WITHIN
        self._put_off[where] = node
        for pool in node.pools:
            pool.degrade(node.refusal, ZYGOTE_WITHIN)

    def _take_up(self, pool: PoolActor) -> None:
        """Import the app of a pool if that was put off, and the time is over."""
        now = self._reactor.loop.time()
        for where, node in list(self._put_off.items()):
            if pool in node.pools and now >= node.rest_until and not self._closed:
                self._import(where, node)

    def _open(self, pool: PoolActor, node: _AppNode) -> None:
        """Let a pool start workers, after a look at what their limits need."""
        if pool.limits.network:
            _open(pool, node)
        else:
            task = self._reactor.loop.create_task(self._open_offline(pool, node))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _open_offline(self, pool: PoolActor, node: _AppNode) -> None:
        """Ask in a thread whether the kernel can keep workers from the network. The first answer takes a process."""
        await self._reactor.loop.run_in_executor(None, network_refusal)
        if not self._closed:
            _open(pool, node)

    def _lost(self, node: _AppNode, why: str) -> None:
        """Count the loss of a zygote, with which the workers of its pools have died; give up after too many."""
        node.losses += 1
        self._isolated_backends.note_loss(node.backend)
        node.intensity = node.intensity.died(self._reactor.loop.time())
        if node.intensity.exceeded and not self._closed:
            node.intensity = RestartIntensity(ZYGOTE_DEATHS, ZYGOTE_WITHIN)
            reason = (
                f"the process from which the workers of {node.app} are forked dies as often as it is started, and all "
                f"of them with it, so starting it was given up; the last time, {why}. What was running each time is on "
                f"the records of the runs; work for {node.app} is taken again after {ZYGOTE_WITHIN:g} s"
            )
            for pool in node.pools:
                pool.degrade(reason, ZYGOTE_WITHIN)

    def _grow_all(self) -> None:
        """Start workers in all pools that had to wait for other workers to end."""
        for pool in self._pools.values():
            pool.dispatcher.grow()

    # ------------------------------------------------------------ queries and injected faults

    def working(self, besides: int = 0) -> bool:
        """Return whether pools have more than ``besides`` jobs that are queued or running, without idle programs."""
        return sum(pool.dispatcher.working for pool in self._pools.values()) > besides

    def workers(self) -> list[WorkerRecord]:
        """Return the records of all workers, pool by pool in start order."""
        return [worker for pool in self._pools.values() for worker in pool.workers()]

    def record(self) -> ActorRecord:
        """Return the record of the whole tree in its current state."""
        apps = tuple(self._app_record(node) for node in self._nodes.values())
        return ActorRecord(
            id="root",
            kind="supervisor",
            status="closed" if self._closed else "running",
            strategy="one_for_one",
            restarts=sum(app.restarts for app in apps),
            children=(*apps, *self.gates()),
        )

    def _app_record(self, node: _AppNode) -> ActorRecord:
        pools = tuple(pool.record() for pool in node.pools)
        slow = None if node.loaded else self._imports.get(node.app)
        detail = f"{node.backend!r}{f', {node.losses} zygotes lost' if node.losses else ''}"
        return ActorRecord(
            id=node.app,
            kind="app",
            status="running" if node.loaded else "loading",
            strategy="one_for_one",
            restarts=sum(pool.restarts for pool in pools),
            detail=detail if slow is None else slow.sentence(),
            children=pools,
        )

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, summed over the existing pools.

        ``restarts``: processes started after a death. ``replacements``: processes replaced as planned. ``crashes``:
        deaths charged to a job. ``dropped``: messages of workers for which no job waited.
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
            WorkerNotFound: There is no such worker; the message lists workers with similar names.
        """
        self._pool_of(worker).kill(worker, signal)

    def restart(self, worker: str) -> None:
        """End a worker's process and start another in its place. Its jobs run again and are not charged.

        Raises:
            WorkerNotFound: There is no such worker; the message lists workers with similar names.
        """
        self._pool_of(worker).restart(worker)

    def _pool_of(self, worker: str) -> PoolActor:
        ids: list[str] = []
        for pool in self._pools.values():
            if worker in pool.supervisor.slots:
                return pool
            ids += pool.supervisor.slots
        alike = " or ".join(f'"{id_}"' for id_ in difflib.get_close_matches(worker, ids, n=3, cutoff=0.5))
        hint = f"did you mean {alike}?" if alike else f"{list_workers()} shows those that are alive"
        msg = f'there is no worker "{worker}"; {hint}'
        raise WorkerNotFound(msg)

    # ------------------------------------------------------------ shutdown

    async def drain(self, grace: float) -> None:
        """Start no further job, and wait at most ``grace`` seconds until no attempt runs.

        Then asynchronous attempts that still run are cancelled, and have ``CLEANUP`` seconds to end. Results that
        arrive meanwhile are processed as usual. ``hurry`` ends the wait.
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
        """Wait for all futures until ``seconds`` are over or ``hurry`` is called; return whether all are done."""
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
        """End the wait of ``drain``."""
        self._hurried.set()

    async def close(self, grace: float = STOP_GRACE) -> None:
        """End every pool, last started first, then the backends. Return when all processes are confirmed dead.

        Jobs that still run have ``grace`` seconds in all. Then SIGTERM and, a second later, SIGKILL end their workers.
        Every job that has not ended by then is reported lost and not charged, or unavailable.
        """
        self._closed = True
        loop = self._reactor.loop
        deadline = loop.time() + grace
        for node in self._nodes.values():
            if node.loading is not None and not node.loaded:
                node.loading.cancel()
        for pool in reversed(list(self._pools.values())):
            ended: Future[None] = loop.create_future()
            pool.close(partial(ended.set_result, None), max(0.0, deadline - loop.time()))
            await ended
        await self._isolated_backends.close()
        for node in reversed(list(self._nodes.values())):
            await node.backend.close()


def _open(pool: PoolActor, node: _AppNode) -> None:
    """Let a pool start workers, unless their limits cannot be kept here."""
    if refusal := limits_refusal(pool.limits):
        pool.refuse_for_good(f"workers of pool {pool.key.name} cannot start: {refusal}")
        return
    limit, least = pool.limits.memory_mb, node.backend.holds_mb + WORKER_MB
    if limit is None or not node.backend.holds_mb or limit >= least:
        pool.open()
        return
    pool.refuse_for_good(
        f"workers of pool {pool.key.name} may have memory_mb={limit}, and {node.app} with what a worker needs takes "
        f"{least} MiB before any work is done: give them at least that, and what the work takes besides"
    )


def _together(policy: Pool, limits: Limits | None) -> Limits:
    """Return the limits of a pool, overridden by those of the step that owns it."""
    own = limits or Limits()
    workdir = own.workdir or policy.workdir
    return Limits(
        memory_mb=own.memory_mb if own.memory_mb is not None else policy.memory_mb,
        cpu=own.cpu if own.cpu is not None else policy.cpu,
        open_files=own.open_files or policy.open_files,
        processes=own.processes,
        network=own.network,
        env=tuple(dict.fromkeys((*policy.env, *own.env))),
        workdir=None if workdir is None else str(Path(workdir).absolute()),
        start_timeout=own.start_timeout,
    )
