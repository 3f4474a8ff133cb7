"""The root supervisor: one backend per app, its pools, and the order in which they are shut down."""

import difflib
import os
import random
from asyncio import FIRST_COMPLETED, Event, Future, wait
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from greenroom.messages.advice import list_workers
from greenroom.messages.core.errors import WorkerNotFound
from greenroom.messages.options.policy import Limits
from greenroom.messages.records.records import ActorRecord, WorkerRecord
from greenroom.supervision.app_node import AppNode
from greenroom.supervision.jobs import Job, JobHandle, Pool, PoolKey, Submit
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.pool.actor import PoolActor
from greenroom.supervision.pool.events import EventHook, WorkerEvent
from greenroom.supervision.pool.workers.start_limiter import StartLimiter
from greenroom.supervision.pool.workers.worker_ids import Names
from greenroom.supervision.pool.workers.worker_slot import START_TIMEOUT, STOP_GRACE
from greenroom.supervision.pool.workers.worker_supervisor import SharedResources
from greenroom.supervision.zygote.import_progress import SlowImports
from greenroom.supervision.zygote.isolated_backends import BackendFactory, IsolatedBackends

CLEANUP: Final = 0.5
"""Seconds that asynchronous code has to end after it was cancelled because the orchestrator closes."""


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
        self._nodes: dict[tuple[str, str], AppNode] = {}
        """By app and kind of backend, in start order."""
        self._put_off: set[AppNode] = set()
        """Those of them whose import was killed again and again. They enter and leave it by themselves."""
        self._imports = imports if imports is not None else SlowImports()
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
            for node in tuple(self._put_off):
                if found in node.pools:
                    node.take_up()
        return found

    def has_loaded(self, app: str) -> bool:
        """Return whether a backend has loaded an app, so that its workers answer questions without delay."""
        return any(node.loaded for (name, _), node in self._nodes.items() if name == app)

    def submit(self, key: PoolKey, limits: Limits | None, job: Job) -> JobHandle:
        """Submit a job to its pool; return the handle for further orders about it."""
        pool = self.pool(key, limits)
        pool.order(Submit(job))
        return JobHandle(pool.order, job.token)

    def reopen(self, app: str) -> None:
        """Let the pools of an app take work now that have given up for a while."""
        for node in self._nodes.values():
            if node.app == app:
                node.reopen()

    def _begin(self, key: PoolKey, limits: Limits | None) -> PoolActor:
        policy = self._policies.get(key.name) or self._policies.get(key.kind) or Pool()
        where = (key.app, policy.backend)
        node = self._nodes.get(where)
        if node is None:
            backend = self._factory(key.app, key, policy)
            node = AppNode(key.app, backend, self._reactor.loop, self._put_off, partial(self._drop, where))
            backend.on_lost = partial(self._lost, node)
            self._nodes[where] = node
        pool = PoolActor.create(
            self._reactor, key, policy, node.backend, limits=_together(policy, limits), resources=self._resources
        )
        self._pools[key] = pool
        if self._closed:
            node.pools.append(pool)
            pool.refuse_for_good("the orchestrator is closed")
        else:
            node.add(pool)
        return pool

    def _drop(self, where: tuple[str, str], node: AppNode) -> None:
        """Remove an app that cannot be imported, and its pools. The next job makes them anew."""
        self._nodes.pop(where, None)
        for pool in node.pools:
            self._pools.pop(pool.key, None)

    def _lost(self, node: AppNode, why: str) -> None:
        """Count the loss of a zygote, with which the workers of its pools have died."""
        self._isolated_backends.note_loss(node.backend)
        node.note_loss(why)

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

    def _app_record(self, node: AppNode) -> ActorRecord:
        pools = tuple(pool.record() for pool in node.pools)
        slow = None if node.loaded else self._imports.get(node.app)
        detail = f"{node.backend.detail}{f'; zygotes lost: {node.losses}' if node.losses else ''}"
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
            node.stop()
        for pool in reversed(list(self._pools.values())):
            ended: Future[None] = loop.create_future()
            pool.close(partial(ended.set_result, None), max(0.0, deadline - loop.time()))
            await ended
        await self._isolated_backends.close()
        for node in reversed(list(self._nodes.values())):
            await node.backend.close()


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
