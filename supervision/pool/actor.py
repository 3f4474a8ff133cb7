"""The pool actor: handles the messages to a pool, and describes the pool."""

import random
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from greenroom.messages.core.failures import Exit
from greenroom.messages.options.policy import Limits
from greenroom.messages.records.records import ActorRecord, WorkerRecord
from greenroom.supervision.jobs import Accuse, Backend, KillWorker, Mute, Pool, PoolKey, Release, Send, Submit, Withdraw
from greenroom.supervision.loop.actor import LoopActor
from greenroom.supervision.loop.reactor import Reactor
from greenroom.supervision.pool.dispatch.dispatcher import Dispatcher
from greenroom.supervision.pool.events import EventHook
from greenroom.supervision.pool.records import pool_record, worker_record
from greenroom.supervision.pool.workers.start_limiter import StartLimiter
from greenroom.supervision.pool.workers.worker_ids import Names
from greenroom.supervision.pool.workers.worker_slot import STOP_GRACE
from greenroom.supervision.pool.workers.worker_supervisor import SharedResources


class PoolActor(LoopActor):
    """Handles ``Submit``, ``Release``, ``Send``, ``Mute``, ``Accuse``, ``Withdraw`` and ``KillWorker``.

    Any thread may send them. On the reactor's thread ``order`` handles them at once, without a turn through the inbox.
    Its ``Dispatcher`` manages jobs, and its ``WorkerSupervisor`` manages workers. The methods below are called by the
    tree. Reactor thread only.
    """

    def __init__(
        self, reactor: Reactor, key: PoolKey, policy: Pool, limits: Limits, backend: Backend, resources: SharedResources
    ) -> None:
        """Create the pool. It queues jobs, but starts no worker before ``open``."""
        super().__init__(reactor)
        self.key = key
        self.limits = limits
        self.dispatcher = Dispatcher(key, policy, limits, backend, resources, reactor.call)
        self.supervisor = self.dispatcher.supervisor
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            Submit: self.dispatcher.submit,
            Release: self.dispatcher.release,
            Send: self.dispatcher.send,
            Mute: self.dispatcher.mute,
            Accuse: self.dispatcher.accuse,
            Withdraw: self.dispatcher.withdraw,
            KillWorker: lambda message: self.kill(message.worker, message.signal),
        }

    @classmethod
    def create(
        cls,
        reactor: Reactor,
        key: PoolKey,
        policy: Pool,
        backend: Backend,
        *,
        limits: Limits | None = None,
        resources: SharedResources | None = None,
        on_event: EventHook = lambda _event: None,
    ) -> "PoolActor":
        """Create a pool and start its actor. Without ``resources`` it shares nothing with other pools."""
        if resources is None:
            resources = SharedResources(reactor.loop, StartLimiter(8), Names(), on_event, random.random)
        pool = cls(reactor, key, policy, limits or Limits(), backend, resources)
        pool._start_actor_loop()
        return pool

    def __repr__(self) -> str:
        """Return the number of workers and jobs, for logs."""
        jobs = f"{self.dispatcher.unfinished} jobs, {self.dispatcher.waiting} of them waiting"
        return f"<PoolActor {self.key.name} of {self.key.app}: {len(self.supervisor.slots)} workers, {jobs}>"

    @override
    def on_receive(self, message: Any) -> None:
        """Handle one message of the protocol."""
        self.order(message)

    def order(self, message: Any) -> None:
        """Handle one message of the protocol at once. The owners of jobs hear of it later. Reactor thread only."""
        self._handlers[type(message)](message)

    def open(self) -> None:
        """Allow workers to start, as the backend has loaded the app."""
        self.dispatcher.open()

    def refuse_for_good(self, reason: str) -> None:
        """Refuse all waiting and future jobs, because the app does not load or the tree is closed."""
        self.dispatcher.refuse_for_good(reason)

    def degrade(self, reason: str, pause: float) -> None:
        """Refuse all jobs for ``pause`` seconds, because the zygote keeps dying."""
        self.supervisor.degrade(reason, pause)

    def reopen(self) -> None:
        """Accept jobs again now if the pool has given up."""
        self.supervisor.reopen()

    def close(self, done: Callable[[], None], grace: float = STOP_GRACE) -> None:
        """End every worker, last started first; ``done`` is called when all are confirmed dead."""
        self.dispatcher.close(done, grace)

    def kill(self, worker: str, signal: int) -> None:
        """Send a signal to a worker as an injected fault. Do nothing if the worker no longer exists."""
        if (slot := self.supervisor.slots.get(worker)) is not None:
            slot.signal(signal)

    def restart(self, worker: str) -> None:
        """Restart a worker's process. Do nothing if it is about to start anyway."""
        if (slot := self.supervisor.slots.get(worker)) is not None:
            slot.kill(Exit(kind="stopped", injected=True, detail="it was restarted by order"))

    def workers(self) -> list[WorkerRecord]:
        """Return the records of the workers, in start order."""
        return [worker_record(self.key, slot) for slot in self.supervisor.slots.values()]

    def record(self) -> ActorRecord:
        """Return the record of the pool and its workers, as a node of the supervision tree."""
        return pool_record(self.supervisor, self.dispatcher.refusal(), self.dispatcher.waiting)
