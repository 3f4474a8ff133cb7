"""The supervisor of one pool's workers: starts them, and restarts them by the pool's policy.

It does not manage jobs. Its ``Router``, the dispatcher, settles the jobs of a dead worker and returns a ``Blame``.
"""

import os
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen
from greenroom.messages.frames.worker import CANNOT_START, NOT_YET, FromWorker, WorkerSpec
from greenroom.messages.options.policy import Limits, WorkerKind
from greenroom.supervision.jobs import Backend, Pool, PoolKey
from greenroom.supervision.policy.crash_attribution import Blame
from greenroom.supervision.policy.exit_status import last_words, own_words
from greenroom.supervision.policy.pool_growth import Growth
from greenroom.supervision.policy.restart_backoff import LARGEST, next_streak, restart_delay
from greenroom.supervision.policy.restart_intensity import RestartIntensity
from greenroom.supervision.policy.restart_strategy import Child, Restart, plan
from greenroom.supervision.pool.events import EventHook, Happening, WorkerEvent
from greenroom.supervision.pool.workers.group_restart import GroupRestarts
from greenroom.supervision.pool.workers.health_monitor import HealthMonitor
from greenroom.supervision.pool.workers.process_limit import ProcessLimit
from greenroom.supervision.pool.workers.start_limiter import StartLimiter
from greenroom.supervision.pool.workers.worker_ids import Names
from greenroom.supervision.pool.workers.worker_slot import START_TIMEOUT, STOP_GRACE, Slot, WorkerExit
from greenroom.supervision.zygote.isolated_backends import IsolatedBackends

_AWAITED: Final = 1.5
"""Longest pause before another look whether what workers need is there again, in seconds."""


def default_size(kind: WorkerKind) -> int:
    """Return the default size of a pool. For tools it depends on the CPUs; workers of other kinds mostly wait."""
    return max(4, 2 * (os.cpu_count() or 1)) if kind == "tool" else 2


def capacity_of(kind: WorkerKind, policy: Pool) -> int:
    """Return how many jobs a worker runs at once. Tools and evaluators run one, so that a kill affects no other job."""
    return (policy.concurrency or 64) if kind in {"program", "llm"} and not policy.fresh else 1


@frozen
class SharedResources:
    """The objects that a pool shares with the other pools of its tree."""

    loop: AbstractEventLoop
    gate: StartLimiter
    names: Names
    on_event: EventHook
    unit: Callable[[], float]
    """Returns random numbers, at least 0 and below 1."""
    start_timeout: float = START_TIMEOUT
    isolated_backends: IsolatedBackends | None = None
    """Creates isolated backends; None if there is only the pool's backend."""


class Router(Protocol):
    """What the supervisor needs of the dispatcher."""

    def ready(self, slot: Slot) -> None:
        """A worker accepts work."""
        ...

    def heard(self, slot: Slot | None, message: FromWorker) -> None:
        """A worker sent a message about its work."""
        ...

    def settle(self, slot: Slot, worker_exit: WorkerExit) -> Blame:
        """A worker has died: settle its jobs, and return which of them are to blame."""
        ...

    def gone(self, slot: Slot) -> None:
        """A slot was removed."""
        ...

    def refuse(self, reason: str) -> None:
        """Refuse the waiting jobs, as no worker will start."""
        ...

    def refuse_questions(self, reason: str) -> None:
        """Refuse the questions, which cannot wait, as no worker can be started for now."""
        ...

    def grow(self) -> None:
        """Start workers that may be started now."""
        ...


class WorkerSupervisor:
    """The workers of one pool. Reactor thread only.

    Two kinds of death count against the restart intensity: failed starts (those begun together count once), and deaths
    for which no job can be blamed. Injected deaths, deaths of a lost backend and ordered ones do not count. Deaths that
    are charged to a job or have suspects do not count either, as the jobs' own limits bound them.

    A first worker that ends with the code ``CANNOT_START`` before it is ready makes the pool give up at once.

    The pool does not give up if a start fails while other workers are ready, or if the kernel refused a process. It is
    then short, reports that, and tries again after a pause. The same applies to a worker that ends with the code
    ``NOT_YET``, if one was ever ready: jobs wait, and what was there once is looked for every moment.
    """

    def __init__(
        self, key: PoolKey, policy: Pool, limits: Limits, backend: Backend, resources: SharedResources, router: Router
    ) -> None:
        """Start without workers; they are started on demand."""
        self.key = key
        self.policy = policy
        self.backend = backend
        self.loop, self.gate = resources.loop, resources.gate
        self.start_timeout = limits.start_timeout or resources.start_timeout
        self.size = policy.size or default_size(key.kind)
        self.capacity = capacity_of(key.kind, policy)
        self.slots: dict[str, Slot] = {}
        """By id, in start order."""
        self.permanent = 0
        """Number of slots that are not temporary."""
        self.restarts = 0
        """Number of lives started after a death, in all slots so far."""
        self.replacements = 0
        """Number of lives replaced between two jobs, in all slots so far."""
        self.crashes = 0
        """Number of deaths charged to a job."""
        self.escalations = 0
        """Number of times that the pool has given up."""
        self.refusal: str | None = None
        """Why no work is accepted now; read it through ``is_degraded``."""
        self._resources = resources
        self.isolated_backends = resources.isolated_backends
        self._limits = limits
        self._router = router
        self._intensity = RestartIntensity(policy.max_restarts, policy.within)
        self._growth = Growth()
        self._proven = False
        """Whether any worker was ever ready."""
        self._troubled = False
        """Whether no worker has become ready since the pool was last short or gave up."""
        self._degraded_until = 0.0
        self._reopening: TimerHandle | None = None
        """Ends the time in which no work is accepted; None if it has never begun."""
        self._groups = GroupRestarts(self.slots, self._remove, self._restart_together)
        self._health = HealthMonitor(self.loop, key.kind, policy, self.slots, self.replace)
        self._process_limit = ProcessLimit(self.loop, limits.processes, self.slots)

    def is_degraded(self) -> bool:
        """Return whether the pool has given up. After ``within`` seconds it tries again, and counts from zero."""
        if self.refusal is not None and self.loop.time() >= self._degraded_until:
            self.refusal = None
            self._intensity = RestartIntensity(self.policy.max_restarts, self.policy.within)
        return self.refusal is not None

    @property
    def shortage(self) -> str | None:
        """Return why the pool has fewer workers than it should, or None."""
        return self._growth.reason or None

    # ------------------------------------------------------------ growing and shrinking

    def room(self) -> int:
        """Return how many workers may be started now: none while siblings are shut down for a restart."""
        if self._groups.under_way:
            return 0
        starting = sum(slot.state in {"waiting", "starting"} for slot in self.slots.values())
        room = self._growth.room(self.loop.time(), starting)
        return 2 * self.size if room is None else room

    def grow(self, restart: Restart = "permanent", backend: Backend | None = None) -> Slot:
        """Start another worker, from an isolated backend if one is given."""
        slot = Slot(self, self._resources.names.take(self.key), restart, self.capacity, backend)
        self.slots[slot.id] = slot
        self.permanent += restart != "temporary"
        self._health.start()
        self._process_limit.start()
        slot.begin()
        return slot

    def replace(self, slot: Slot, why: str) -> None:
        """Replace a process between two jobs. It keeps its present jobs, and gets no further ones.

        If workers run one job each, there are never more processes than the pool's size. A worker with several jobs may
        take long to end them, so another one is started beside it at once.
        """
        if slot.state != "ready" or slot.restart == "temporary":
            return  # otherwise it ends with its last job
        if not slot.retiring:
            slot.retire()
            if self.capacity > 1 and slot.jobs:
                slot.end_with_last_job()
                self.permanent -= 1
                self._note_replacement(slot, why)
                self.grow()
                return
        if not slot.jobs:
            slot.leave(why)

    def _note_replacement(self, slot: Slot, why: str) -> None:
        self.replacements += 1
        self._emit("replaced", slot, detail=why)

    def stop_all(self, grace: float = STOP_GRACE) -> None:
        """End every worker for good, last started first; ``gone`` is called for each."""
        self._groups.under_way.clear()
        for slot in reversed(list(self.slots.values())):
            slot.stop(grace)

    def _remove(self, slot: Slot) -> None:
        if self.slots.pop(slot.id, None) is None:
            return
        self.permanent -= slot.restart != "temporary"
        self._resources.names.release(slot.id)
        if slot.backend is not None and self.isolated_backends is not None:
            self.isolated_backends.leave(slot.backend)
        if not self.slots:
            self._health.stop()
            self._process_limit.stop()
        self._router.gone(slot)

    # ------------------------------------------------------------ reports of slots

    def spec(self, worker: str) -> WorkerSpec:
        """Return the specification of the worker's next life."""
        return WorkerSpec(
            worker=worker,
            incarnation=self._resources.names.next_life(worker),
            kind=self.key.kind,
            concurrency=self.capacity,
            pool=self.key.name,
            limits=self._limits,
            max_rss_mb=self.policy.max_rss_mb,
        )

    def started(self, slot: Slot) -> None:
        """Report that the process exists."""
        self._emit("started", slot)

    def ready(self, slot: Slot) -> None:
        """Handle a successful start."""
        self._intensity = self._intensity.ready()
        self._growth = Growth()
        self._proven = True
        self._emit("ready", slot)
        if self._troubled:
            self._troubled = False
            self._emit("recovered", slot)
        self._router.ready(slot)

    def heard(self, slot: Slot | None, message: FromWorker) -> None:
        """Pass a worker's message about its work to the dispatcher."""
        self._router.heard(slot, message)

    def ended(self, slot: Slot, worker_exit: WorkerExit) -> None:
        """Settle the jobs of a dead worker first, then decide about its next life."""
        blame = self._router.settle(slot, worker_exit)
        self.crashes += bool(blame.charged)
        slot.crashes += bool(blame.charged)
        if slot.pid is not None or not worker_exit.ordered:
            self._emit("exited", slot, end=worker_exit.end, charged=tuple(blame.charged))
        if worker_exit.ordered or self.is_degraded():
            self._remove(slot)
            self._groups.forget(slot)
        elif self._groups.ended(slot):
            return
        elif worker_exit.planned:
            self._note_replacement(slot, worker_exit.end.detail)
            slot.begin(planned=True)
        else:
            self._decide(slot, worker_exit, blame)

    # ------------------------------------------------------------ restarts

    def _decide(self, slot: Slot, worker_exit: WorkerExit, blame: Blame) -> None:
        end, now, delay = worker_exit.end, self.loop.time(), 0.0
        failed_start = (
            worker_exit.ready_for is None and not end.injected and end.kind not in {"stopped", "backend_lost"}
        )
        streak = next_streak(slot.streak, ready_for=worker_exit.ready_for, served=worker_exit.served)
        slot.streak = streak if failed_start or blame.counted else min(streak, slot.streak)
        # An ordered death, to end one job, is no reason to restart siblings; nor is a life that was never ready.
        alone = end.kind == "stopped" or not slot.proven
        strategy = "one_for_one" if alone else self.policy.strategy
        awaited = end.code == NOT_YET and self._proven
        if failed_start and (end.refused or awaited or (strategy == "one_for_one" and self._serves)):
            self._fall_short(slot, worker_exit, _AWAITED if awaited else LARGEST)
            return
        if failed_start or blame.counted:
            delay = restart_delay(slot.streak, self._resources.unit())
            before = self._intensity
            self._intensity = before.failed_start(now, worker_exit.begun) if failed_start else before.died(now)
            hopeless = failed_start and end.code == CANNOT_START and not self._proven
            if hopeless or self._intensity.exceeded:
                self._give_up(slot, end, hopeless=hopeless)
                return
        children = [Child(other.id, other.restart) for other in self.slots.values() if other.state != "stopping"]
        made = plan(strategy, children, slot.id, end)
        if not made.start:
            self._remove(slot)
            return
        self._groups.begin(slot, made.stop, made.start, delay)

    def _restart_together(self, slots: Sequence[Slot], delay: float) -> None:
        """Start workers again whose siblings have ended, too."""
        for slot in slots:
            self.restarts += 1
            self._emit("restarting", slot, delay=delay)
            slot.begin(delay)
        self._router.grow()

    @property
    def _serves(self) -> bool:
        """Return whether any worker accepts jobs of the shared queue."""
        return any(slot.state == "ready" and slot.restart != "temporary" for slot in self.slots.values())

    def _fall_short(self, slot: Slot, worker_exit: WorkerExit, pause: float) -> None:
        """Remove a worker that cannot be started for now, and report that; another start follows after a pause."""
        now, working = self.loop.time(), sum(other.state == "ready" for other in self.slots.values())
        reason = (
            f"pool {self.key.name} for {self.key.app} has {working} of {self.size} workers and cannot begin more: the "
            f"last start, that of {slot.id}, {worker_exit.end.sentence()}{_evidence(worker_exit.end)}. "
            f"It is tried again after a pause, of {pause:g} s at most"
        )
        before, unit = self._growth, self._resources.unit()
        self._growth = before.failed(now, worker_exit.begun, unit, reason, pause)
        if not before.failures:
            self._troubled = True
            self._emit("short", slot, end=worker_exit.end, detail=reason)
        if self._growth is not before:
            self.loop.call_later(self._growth.until - now, self._router.grow)
        self._remove(slot)
        self._groups.forget(slot)
        if not working:
            self._router.refuse_questions(reason)

    def reopen(self) -> None:
        """Accept work again now if the pool has given up."""
        if self.is_degraded():
            self._degraded_until = self.loop.time()
            self._reopen()

    def _reopen(self) -> None:
        """Accept work again after the pool has given up."""
        if self._reopening is not None:
            self._reopening.cancel()
        if not self.is_degraded():
            self._emit("reopened", None)

    def _give_up(self, slot: Slot, end: Exit, *, hopeless: bool) -> None:
        """Degrade the pool because of the deaths of its workers, or because the first one says that none can start."""
        pause = self.policy.within
        if hopeless:
            reason = (
                f"no worker of pool {self.key.name} for {self.key.app} can be started: {own_words(end.stderr)}. Work "
                f"for the pool is taken again after {pause:g} s"
            )
        else:
            reason = (
                f"the workers of pool {self.key.name} for {self.key.app} die as often as they are started, so starting "
                f"them was given up. The last one, {slot.id}, {end.sentence()}{_evidence(end)}. Mend what ends them; "
                f"work for them is taken again after {pause:g} s"
            )
        self.degrade(reason, pause, slot, end)

    def degrade(self, reason: str, pause: float, slot: Slot | None = None, end: Exit | None = None) -> None:
        """Refuse work for ``pause`` seconds. Live workers continue their jobs, and no worker is started."""
        self.refusal = reason
        self.escalations += 1
        self._degraded_until = self.loop.time() + pause
        if self._reopening is not None:
            self._reopening.cancel()
        self._reopening = self.loop.call_at(self._degraded_until, self._reopen)
        self._troubled = True
        self._groups.start_none()
        self._emit("degraded", slot, end=end, detail=self.refusal)
        for other in list(self.slots.values()):
            other.rest()
            if other.state == "down":
                self._remove(other)
        self._router.refuse(self.refusal)

    def _emit(
        self,
        kind: Happening,
        slot: Slot | None,
        *,
        end: Exit | None = None,
        delay: float | None = None,
        charged: tuple[str, ...] = (),
        detail: str = "",
    ) -> None:
        worker, life, pid = ("", 0, None) if slot is None else (slot.id, slot.incarnation, slot.pid)
        self._resources.on_event(WorkerEvent(kind, self.key, worker, life, pid, end, delay, charged, detail))


def _evidence(end: Exit) -> str:
    """Return the last output of a worker, as a quotation."""
    words = last_words(end.stderr)
    return f'; it said: "{words[:300]}"' if words else ""
