"""A slot for a worker in a pool: an id that successive processes share."""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

from greenroom.messages.core.failures import Exit
from greenroom.messages.core.frozen import frozen
from greenroom.messages.frames.worker import FromWorker, Heartbeat, Ready, Stop, ToWorker, WorkerSpec
from greenroom.supervision.jobs import Backend, WorkerProcess
from greenroom.supervision.policy.liveness import Signs
from greenroom.supervision.policy.restart_strategy import Restart, is_normal
from greenroom.supervision.pool.workers.assigned_jobs import AssignedJobs
from greenroom.supervision.pool.workers.start_limiter import Permit, StartLimiter
from greenroom.supervision.process.refused_resource import with_remedy

START_TIMEOUT: Final = 30.0
"""Seconds that a worker may take from its start to being ready."""
STOP_GRACE: Final = 5.0
"""Seconds that a worker has to end after it was told to, before SIGTERM."""
TERM_GRACE: Final = 1.0
"""Seconds between SIGTERM and SIGKILL."""

State: TypeAlias = Literal["waiting", "starting", "ready", "halting", "leaving", "stopping", "ending", "down"]
"""In this order: waits for its delay or a permit; was started; accepts work; accepts none, as it will be told to end;
was told to end for another life; was told to stop for good; is dying; has no process."""


@frozen
class WorkerExit:
    """Facts about the end of a life, for the decision about the next one."""

    end: Exit
    read: int
    """Number of bytes that the worker has read. Work that was sent after them never began."""
    begun: float
    ready_for: float | None
    """Seconds for which the worker was ready; None if it never was."""
    served: bool
    """Whether it finished at least one job."""
    ordered: bool
    """Whether the slot was told to stop for good."""
    planned: bool = False
    """Whether it ended because it was told to, for another life to follow."""


class Site(Protocol):
    """What a slot needs of its pool. Reactor thread only."""

    loop: AbstractEventLoop
    backend: Backend
    gate: StartLimiter
    start_timeout: float

    def spec(self, worker: str) -> WorkerSpec:
        """Return the specification of the worker's next life."""
        ...

    def started(self, slot: "Slot") -> None:
        """The process exists."""
        ...

    def ready(self, slot: "Slot") -> None:
        """The worker accepts work."""
        ...

    def heard(self, slot: "Slot | None", message: FromWorker) -> None:
        """The worker sent a message about its work. The slot is None for a past life, whose messages are dropped."""
        ...

    def ended(self, slot: "Slot", worker_exit: WorkerExit) -> None:
        """The life is over, and its process tree is confirmed dead. The slot is ``down``."""
        ...


class Life:
    """The listener of one life. It drops all events once the slot has another life."""

    __slots__ = ("slot",)

    def __init__(self, slot: "Slot") -> None:
        """Create the listener of a slot."""
        self.slot = slot

    def spawned(self, pid: int) -> None:
        """Record that the process exists."""
        if self.slot.life is self:
            self.slot.note_spawned(pid)

    def received(self, message: FromWorker) -> None:
        """Handle a message: the slot keeps heartbeats, and passes other messages to the pool."""
        slot = self.slot
        if slot.life is not self:
            slot.site.heard(None, message)
        elif type(message) is Heartbeat:
            slot.signs = slot.signs.beat(slot.site.loop.time(), message.busy, message.run_id)
        elif type(message) is Ready:
            slot.note_ready()
        else:
            slot.site.heard(slot, message)

    def died(self) -> None:
        """Record that the process is dead and accepts no work."""
        if self.slot.life is self and self.slot.state in {"starting", "ready", "halting"}:
            self.slot.state = "ending"

    def exited(self, exit: Exit, read: int) -> None:  # noqa: A002  the protocol's own name
        """Record that the process and its tree are gone."""
        if self.slot.life is self:
            self.slot.note_exited(exit, read)


class Slot:
    """The state machine of one worker.

    While the pool restarts it: ``waiting -> starting -> ready -> ending -> down -> waiting ...``. When it is told to
    stop for good: ``stopping -> down``. It never blocks; timers and events drive it.
    """

    def __init__(
        self, site: Site, worker: str, restart: Restart, capacity: int, backend: Backend | None = None
    ) -> None:
        """Create a slot without a process; ``begin`` starts its first life."""
        self.site = site
        self.backend = backend
        """The isolated backend of this slot; None if the slot uses the pool's backend."""
        self.id = worker
        self.restart: Restart = restart
        self.solo = restart == "temporary"
        """Whether the slot is for one job only."""
        self.capacity = capacity
        """Most jobs at once."""
        self.state: State = "down"
        self.incarnation = 0
        self.pid: int | None = None
        self.restarts = 0
        """Number of lives started after a death."""
        self.replacements = 0
        """Number of lives started as planned."""
        self.crashes = 0
        """Number of deaths charged to a job. Written by the supervisor."""
        self.streak = 0
        """Number of unhealthy lives in a row. Written by the supervisor, which waits longer after each."""
        self.jobs = AssignedJobs(capacity)
        """The jobs of this life."""
        self.proven = False
        """Whether any of its lives was ever ready."""
        self.retiring = False
        """Whether this life gets no further jobs, and is replaced when its present jobs have ended."""
        self._muting: set[str] = set()
        """Tokens of the jobs of this life because of which the worker is not read for now."""
        self.signs = Signs(beat_at=0.0)
        self.culprit: str | None = None
        """Run or question that blocked the loop, if the worker was killed for that."""
        self.life: Life | None = None
        self._process: WorkerProcess | None = None
        self._permit: Permit | None = None
        self._timer: TimerHandle | None = None
        self._begun = 0.0
        self._why = ""
        """Why this life was told to leave."""
        self._counted = True
        """Whether the next life counts as a restart."""
        self._early = False
        """Whether the worker reported that it is ready before the zygote reported its pid."""
        self._ready_at: float | None = None

    def __repr__(self) -> str:
        return f"<Slot {self.id} life {self.incarnation} {self.state}, {len(self.jobs)} jobs, pid {self.pid}>"

    # ------------------------------------------------------------ orders

    def begin(self, delay: float = 0.0, *, planned: bool = False) -> None:
        """Start the next life after ``delay`` seconds, as soon as the start limiter permits it.

        ``planned`` is True for a replacement, which does not count as a restart.
        """
        self.state, self.pid, self._counted = "waiting", None, not planned
        self._permit = Permit(self.site.gate, self._spawn)
        if delay > 0:
            self._after(delay, self._permit.enter)
        else:
            self._permit.enter()

    def tell(self, message: ToWorker) -> int:
        """Send a frame, if there is a process. Return how many bytes the worker must have read to have received it."""
        return self._process.send(message) if self._process is not None else 0

    @property
    def hearing(self) -> bool:
        """Return whether its heartbeats wait to be read, so that missing ones prove nothing."""
        return self._process is not None and self._process.hearing

    def mute(self, token: str, *, muted: bool) -> None:
        """Read nothing from the worker while any of its jobs is muted."""
        if muted:
            self._muting.add(token)
        else:
            self._muting.discard(token)
        if self._process is not None:
            self._process.mute(bool(self._muting))

    def rest(self) -> None:
        """Cancel a life that has not started yet, and stay down."""
        if self.state == "waiting":
            self._clear()
            self.state = "down"

    @property
    def takes_work(self) -> bool:
        """Whether this life accepts a job, if it has room for one."""
        return self.state == "ready" and not self.retiring

    def retire(self) -> None:
        """Accept no further jobs. This life is replaced when its present jobs have ended."""
        self.retiring = True

    def end_with_last_job(self) -> None:
        """End this slot for good after its last job, because another one is started in its place."""
        self.restart = "temporary"

    def kill(self, reason: Exit, *, culprit: str | None = None) -> None:
        """Kill the process of this life. ``ended`` follows when that is confirmed, with ``reason`` as the cause.

        Args:
            reason: The cause.
            culprit: The run or question that blocked the worker's loop, if that is the cause and it is known.
        """
        self.culprit = culprit or self.culprit
        if self._process is not None and self.state in {"starting", "ready", "halting", "leaving"}:
            self.state = "ending"
            self._process.kill(reason)

    def signal(self, number: int) -> None:
        """Send a signal to the process as an injected fault."""
        if self._process is not None:
            self._process.signal(number)

    def halt(self) -> None:
        """Accept no further work; a call of ``leave`` follows."""
        if self.state == "ready":
            self.state = "halting"

    def leave(self, why: str, grace: float = STOP_GRACE) -> None:
        """End this life after its present work, for another one to follow. The steps are those of ``stop``.

        Args:
            why: The recorded reason.
            grace: Seconds until SIGTERM.
        """
        if self.state in {"ready", "halting"}:
            self.state, self._why = "leaving", why
            self.tell(Stop())
            self._after(grace, self._terminate)

    def stop(self, grace: float = STOP_GRACE) -> None:
        """End this slot for good: a frame, SIGTERM after ``grace`` seconds, then SIGKILL. ``ended`` follows."""
        if self.state in {"down", "waiting"}:
            self._clear()
            self.state = "down"
            end = Exit(kind="stopped", detail="no process was running")
            self.site.ended(self, WorkerExit(end, 0, self._begun, None, served=False, ordered=True))
            return
        if self.state == "stopping":
            return
        before, self.state = self.state, "stopping"
        if before == "ending":
            return
        if before != "leaving":
            self.tell(Stop())
        self._after(grace if self._ready_at is not None else 0.0, self._terminate)

    def _terminate(self) -> None:
        if self._process is not None:
            self._process.kill(Exit(kind="stopped"), signal=15)
            self._after(TERM_GRACE, self._finish_off)

    def _finish_off(self) -> None:
        if self._process is not None:
            self._process.kill(Exit(kind="stopped", detail="it did not end when told to"))

    # ------------------------------------------------------------ events of the life

    def _spawn(self) -> None:
        spec = self.site.spec(self.id)
        if self.incarnation:
            self.restarts += self._counted
            self.replacements += not self._counted
        self.incarnation = spec.incarnation
        self.state = "starting"
        self.pid, self.culprit, self._ready_at, self._early, self.retiring = None, None, None, False, False
        self.jobs = AssignedJobs(self.capacity)
        self._muting.clear()
        self._begun = self.site.loop.time()
        self._after(self.site.start_timeout, self._start_timed_out)
        self.life = life = Life(self)
        try:
            process = (self.backend or self.site.backend).spawn(spec, life)
        except OSError as error:  # no descriptors, no memory
            life.exited(Exit(kind="start_failed", refused=True, detail=with_remedy(error)), 0)
        else:
            if self.life is life:  # unless it has ended already
                self._process = process

    def note_spawned(self, pid: int) -> None:
        """Record that the process exists."""
        self.pid = pid
        self.site.started(self)
        if self._early:
            self.note_ready()

    def note_ready(self) -> None:
        """Record that the worker accepts work. Wait for its pid if that is unknown, because jobs record it."""
        if self.state != "starting":
            return
        if self.pid is None:  # its own socket was read before the zygote's
            self._early = True
            return
        self._clear()
        self._ready_at = self.jobs.idle_since = now = self.site.loop.time()
        self.signs = Signs(beat_at=now)
        self.state, self.proven = "ready", True
        self.site.ready(self)

    def note_exited(self, end: Exit, read: int) -> None:
        """Record that the life is over."""
        self._clear()
        now = self.site.loop.time()
        ready_for = None if self._ready_at is None else now - self._ready_at
        planned = self.state == "leaving" and is_normal(end)
        if planned:
            end = end.model_copy(update={"kind": "stopped", "detail": self._why})
        ordered = self.state == "stopping"
        worker_exit = WorkerExit(
            end, read, self._begun, ready_for, served=self.jobs.served, ordered=ordered, planned=planned
        )
        self.life, self._process, self.state = None, None, "down"
        self.site.ended(self, worker_exit)

    def _start_timed_out(self) -> None:
        self.kill(Exit(kind="start_failed", detail=f"it was not ready within {self.site.start_timeout:g} s"))

    def _after(self, delay: float, then: Callable[[], None]) -> None:
        """Set the only timer, as each state waits for one event."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.site.loop.call_later(delay, then)

    def _clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._permit is not None:
            self._permit.leave()
            self._permit = None
