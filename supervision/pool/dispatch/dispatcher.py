"""The dispatcher of a pool: assigns jobs to workers, and handles the workers' messages about them.

The dispatcher is the part of a pool that manages jobs. Its ``WorkerSupervisor`` is the part that manages workers.
"""

from collections.abc import Callable, Iterable
from typing import Final

from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import (
    Abort,
    Completed,
    Emitted,
    EndProgram,
    Failed,
    FromWorker,
    Judged,
    Progress,
    Resolve,
)
from greenroom.messages.options.policy import Limits
from greenroom.supervision.jobs import (
    Accuse,
    Answered,
    Assigned,
    Backend,
    Job,
    Mute,
    Pool,
    PoolKey,
    Release,
    Send,
    Submit,
    Unavailable,
    Withdraw,
)
from greenroom.supervision.policy.crash_attribution import Blame
from greenroom.supervision.policy.recycling import worn_out
from greenroom.supervision.pool.dispatch.cancellation import ABORTABLE, Cancellation
from greenroom.supervision.pool.dispatch.job_table import JobTable
from greenroom.supervision.pool.dispatch.placement import Placement
from greenroom.supervision.pool.dispatch.scaling import Scaling
from greenroom.supervision.pool.dispatch.settlement import Settlement
from greenroom.supervision.pool.dispatch.suspects import Suspects
from greenroom.supervision.pool.workers.pending_job import PendingJob, name_in
from greenroom.supervision.pool.workers.worker_slot import Slot, WorkerExit
from greenroom.supervision.pool.workers.worker_supervisor import SharedResources, WorkerSupervisor

_RESULTS: Final = (Completed, Failed, Judged)


class Dispatcher:
    """Assigns jobs to the workers of its supervisor. Reactor thread only.

    Jobs wait in one queue, first come first served. Each goes to the least loaded worker that is ready. If none has
    room, another worker is started, up to the pool's size. A solo job gets an additional temporary worker, which ends
    with the job. If a worker dies before it has read a job, the job returns to the head of the queue. A streaming job
    is instead lost and not charged, as further messages for it may have been sent too.
    """

    def __init__(
        self,
        key: PoolKey,
        policy: Pool,
        limits: Limits,
        backend: Backend,
        resources: SharedResources,
        defer: Callable[..., None],
    ) -> None:
        """Accept jobs, but start no worker before ``open``. ``defer`` makes a call after those under way."""
        self.supervisor = supervisor = WorkerSupervisor(key, policy, limits, backend, resources, self)
        self._turns = key.kind == "program"
        """Whether workers run one turn of a program or one question at a time, so that the job that held the loop is
        known."""
        self._loop = resources.loop
        self._table = table = JobTable(defer)
        self._suspects = Suspects()
        """Jobs whose workers died while they had several jobs."""
        self._near_zygotes = Suspects()
        """Jobs whose workers died with their zygote, together with other workers."""
        self._placement = Placement(resources.loop, supervisor, self._hand_out)
        self._scaling = Scaling(supervisor, table.queues, self._near_zygotes)
        self._cancellation = Cancellation(
            resources.loop, table, self._placement, self._conclude, shared=supervisor.capacity > 1
        )
        self._settlement = Settlement(
            supervisor,
            table,
            self._cancellation,
            turns=self._turns,
            suspects=self._suspects,
            near_zygotes=self._near_zygotes,
        )
        self._is_open = False
        self._refusal: str | None = None
        """Why all further jobs are refused for good; None if they are not."""
        self._on_empty: list[Callable[[], None]] = []
        self._draining = False
        """Whether no further job is started, while running ones may end."""
        self._on_drained: Callable[[], None] | None = None

    @property
    def unfinished(self) -> int:
        """Number of jobs that have not ended."""
        return len(self._table)

    @property
    def waiting(self) -> int:
        """Number of jobs that wait for a worker."""
        return len(self._table.queues)

    @property
    def dropped(self) -> int:
        """Number of messages of workers for which no job waited."""
        return self._table.dropped

    @property
    def working(self) -> int:
        """Number of jobs that are answered without a further message. A started program may be waiting for one."""
        return sum(not (pending.job.streaming and pending.sent) for pending in self._table)

    def open(self) -> None:
        """Allow workers to start."""
        self._is_open = True
        self.grow()

    def refuse_for_good(self, reason: str) -> None:
        """Refuse all waiting and future jobs."""
        self._refusal = reason
        self.refuse(reason)

    def refusal(self) -> str | None:
        """Return the reason why no worker takes jobs, or None."""
        supervisor = self.supervisor
        return self._refusal or (supervisor.refusal if supervisor.refusal and supervisor.is_degraded() else None)

    def close(self, done: Callable[[], None], grace: float) -> None:
        """End every worker; ``done`` is called when all are confirmed dead."""
        self.refuse_for_good("the orchestrator is closing")
        if not self.supervisor.slots:
            done()
            return
        self._on_empty.append(done)
        self.supervisor.stop_all(grace)

    def drain(self, done: Callable[[], None]) -> None:
        """Start no further job; ``done`` is called when no attempt runs. Programs remain and still get messages."""
        self._draining, self._on_drained = True, done
        self._check_drained()

    def abort_running(self) -> None:
        """Ask the attempts that still run to stop. Asynchronous code is cancelled; other code is not affected.

        Attempts that end by themselves are answered as usual. Cancelled ones are not, so that they run again.
        """
        for pending in self._attempts():
            if pending.slot is not None and pending.sent:
                pending.slot.tell(Abort(token=pending.work))

    def _attempts(self) -> list[PendingJob]:
        """Return the attempts that are assigned to workers."""
        return [job for job in self._table if job.slot is not None and type(job.job.frame) in ABORTABLE]

    def _check_drained(self) -> None:
        if self._on_drained is not None and not self._attempts():
            done, self._on_drained = self._on_drained, None
            done()

    # ------------------------------------------------------------ new jobs

    def submit(self, message: Submit) -> None:
        """Accept a job, or refuse it if no worker takes jobs."""
        job = message.job
        refusal = self.refusal()
        if refusal is not None:
            self._table.reply(job, self._unavailable(job, refusal))
            return
        pending, queues = self._table.add(job), self._table.queues
        if self.supervisor.isolated_backends is not None and self._near_zygotes.must_run_alone(job, job.zygotes_lost):
            queues.isolated[job.token] = pending
            self.grow()
        elif job.solo or self._suspects.must_run_alone(job):
            queues.solo[job.token] = pending
            self.grow()
        elif (slot := self._place(pending)) is not None:
            self._assign(pending, slot)
        else:
            queues.shared[job.token] = pending
            queues.shared.move_to_end(job.token, last=not job.pressing)
            self.grow()

    def _place(self, pending: PendingJob) -> Slot | None:
        slot = None if self._draining else self._placement.find(pending)
        return slot if slot is not None else self._placement.for_question(pending.job)

    def _hand_out(self) -> None:
        """Assign waiting jobs to the workers that have room."""
        if self._draining or not self._placement:
            return
        for pending in list(self._table.queues.shared.values()):
            if (slot := self._placement.find(pending)) is not None:
                del self._table.queues.shared[pending.job.token]
                self._assign(pending, slot)
            elif not self._placement:
                return

    def grow(self) -> None:
        """Start as many workers as the waiting jobs need and the pool's size allows."""
        if self._is_open and not self._draining and self.refusal() is None:
            self._scaling.grow()

    def _assign(self, pending: PendingJob, slot: Slot) -> None:
        """Assign a job to a worker, and send it unless it is held."""
        job = pending.job
        pending.stop_timer()
        pending.slot = slot
        slot.jobs.add(pending)
        if slot.jobs.is_full:
            self._placement.remove(slot)
        assert slot.pid is not None, f"{slot} is ready without a process"
        assigned = Assigned(job.token, slot.id, slot.pid, slot.incarnation)
        if not pending.released or self._dispatch(pending, slot):
            self._table.reply(job, assigned)
        policy = self.supervisor.policy
        if policy.fresh and not slot.solo and self._is_open and self.supervisor.permanent < self.supervisor.size:
            if not any(other.state in {"ready", "starting"} and not other.jobs for other in self._pool_slots()):
                self.supervisor.grow()  # so that the next job need not wait for this process to be replaced
        elif slot.capacity > 1 and policy.max_jobs is not None:
            self._replace_if_worn(slot)

    def _pool_slots(self) -> list[Slot]:
        return [slot for slot in self.supervisor.slots.values() if slot.restart != "temporary"]

    def _dispatch(self, pending: PendingJob, slot: Slot) -> bool:
        """Send a job to its worker and set its deadline. Return False if it cannot be sent and has therefore ended."""
        pending.sent = True
        try:
            pending.mark = slot.tell(pending.job.frame)
        except CodecError as error:
            self._end_unsendable(pending, error)
            return False
        if self._turns:
            slot.jobs.ask_turn(pending, pending.mark)
        self._cancellation.start_clock(pending)
        return True

    def release(self, message: Release) -> None:
        """Send a held job. The release remains valid if the job is assigned to another worker."""
        pending = self._table.find(message.token)
        if pending is None or pending.released:
            return
        pending.released = True
        if pending.slot is not None and pending.slot.state == "ready":
            self._dispatch(pending, pending.slot)

    def send(self, message: Send) -> None:
        """Send a further frame to the worker of a streaming job."""
        pending = self._table.find(message.token)
        if pending is None or pending.slot is None or not pending.sent:
            return
        try:
            mark = pending.slot.tell(message.frame)
        except CodecError as error:
            self._end_unsendable(pending, error)
            return
        if type(message.frame) is Resolve:
            pending.slot.jobs.ask_turn(pending, mark)

    def mute(self, message: Mute) -> None:
        """Stop reading the messages of the worker of a job, or go on."""
        pending = self._table.find(message.token)
        if pending is not None and pending.slot is not None and pending.sent and pending.cut is None:
            pending.slot.mute(message.token, muted=message.muted)
            pending.muted = message.muted

    def accuse(self, message: Accuse) -> None:
        """End the worker of a job because of what it has sent."""
        pending = self._table.find(message.token)
        if pending is not None and pending.slot is not None:
            pending.slot.kill(Exit(kind="garbage", detail=f"it {message.detail}"))

    def withdraw(self, message: Withdraw) -> None:
        """Remove a job, or end it; its owner gets no further event."""
        self._cancellation.withdraw(message)

    def _end_unsendable(self, pending: PendingJob, error: CodecError) -> None:
        """End a job whose frame is too long to be sent to any worker."""
        job = pending.job
        if job.streaming and pending.slot is not None:
            pending.slot.tell(EndProgram(run_id=pending.work))
        self._conclude(pending)
        reason = f"{job.label} cannot be sent to a worker: {error}"
        self._table.reply(job, Unavailable(job.token, reason, unsendable=True))

    # ------------------------------------------------------------ messages of workers

    def ready(self, slot: Slot) -> None:
        """Assign waiting jobs to a new worker."""
        if slot.solo:
            self._fill_alone(slot)
        else:
            self._fill(slot)
        if self._table.queues:
            self.grow()

    def heard(self, slot: Slot | None, message: FromWorker) -> None:
        """Pass a worker's message about a job to the job's owner."""
        pending = slot.jobs.find(name_in(message)) if slot is not None else None
        if slot is None or pending is None or not pending.sent or (pending.cut is not None and slot.state != "ready"):
            self._table.dropped += 1  # a job because of which its worker is killed ends only with the worker
            return
        kind = type(message)
        if kind not in pending.answers:
            slot.kill(Exit(kind="garbage", detail=f"it answered {pending.job.label} with a message of another kind"))
            return
        cancelled = message.type == "failed" and message.failure.outcome == "cancelled"
        if cancelled and pending.cut is None and not self._draining:
            slot.kill(
                Exit(kind="garbage", detail=f"it says that {pending.job.label} was cancelled, which nobody asked")
            )
            return
        if self._turns and not getattr(message, "more", False):  # else the turn goes on
            slot.jobs.end_turn(pending)
            slot.jobs.note_served()
            self._near_zygotes.clear(pending.job)
        if kind is Progress or kind is Emitted or pending.job.streaming:
            self._answer(pending, message)
            return
        slot.jobs.note_served()
        if isinstance(message, _RESULTS):
            failed = message.failure is not None if isinstance(message, Judged) else isinstance(message, Failed)
            slot.jobs.note_result(succeeded=not failed, spoilt=message.spoilt)
        self._suspects.clear(pending.job)
        self._near_zygotes.clear(pending.job)
        self._conclude(pending)
        if not (cancelled and self._draining):
            self._answer(pending, message)
        if self._draining:
            self._check_drained()

    def _answer(self, pending: PendingJob, message: FromWorker) -> None:
        token = pending.job.token
        if pending.cut is None:
            self._table.reply(pending.job, Answered(token, message))
            return
        self._table.dropped += 1
        if token not in self._table:
            self._cancellation.report_end(pending)

    def _conclude(self, pending: PendingJob) -> None:
        """Remove a job from its worker, which continues with the next one."""
        self._cancellation.stop_clock(pending)
        self._table.remove(pending)
        slot = pending.slot
        if slot is None:
            return
        pending.unmute()
        if not slot.jobs.remove(pending, self._loop):
            return
        if slot.restart == "temporary":
            if not slot.jobs:
                slot.stop()
        elif not self._replace_if_worn(slot):
            self._fill(slot)

    def _replace_if_worn(self, slot: Slot) -> bool:
        """Replace a worker if it must not get another job; return whether that is so."""
        policy = self.supervisor.policy
        why = worn_out(slot.jobs.wear, capacity=slot.capacity, max_jobs=policy.max_jobs, fresh=policy.fresh)
        if why and slot.state == "ready":
            self._placement.remove(slot)
            self.supervisor.replace(slot, why)
        return bool(why)

    def _fill(self, slot: Slot) -> None:
        """Assign jobs from the queue to a worker until the queue is empty or the worker is full."""
        if self._draining:
            return
        shared = self._table.queues.shared
        while slot.takes_work and slot.jobs.takes_more:
            pending = next((each for each in shared.values() if each.avoid != slot.pid), None) if shared else None
            if pending is None:
                self._placement.add(slot)
                return
            del shared[pending.job.token]
            self._assign(pending, slot)

    def _fill_alone(self, slot: Slot) -> None:
        queue, isolated_backends = self._table.queues.of(slot), self.supervisor.isolated_backends
        waiting: Iterable[PendingJob] = () if self._draining else queue.values()
        if (
            slot.backend is not None
            and isolated_backends is not None
            and not isolated_backends.is_exclusive(slot.backend)
        ):
            waiting = (pending for pending in waiting if not self._scaling.is_exclusive(pending))
        if (pending := next(iter(waiting), None)) is not None:
            del queue[pending.job.token]
            self._assign(pending, slot)
        else:
            slot.stop()

    # ------------------------------------------------------------ ends and failed starts of workers

    def settle(self, slot: Slot, worker_exit: WorkerExit) -> Blame:
        """Report the end to the owners of a dead worker's jobs. Jobs that it never began return to the queue's head."""
        self._placement.remove(slot)
        verdict = self._settlement.settle(slot, worker_exit)
        if (refusal := self.refusal()) is not None:
            self.refuse(refusal)
        self._hand_out()
        self._check_drained()
        return verdict

    def gone(self, slot: Slot) -> None:
        """Handle the removal of a slot; jobs that still wait may need another one."""
        del slot
        if self._on_empty and not self.supervisor.slots:
            waiting, self._on_empty = self._on_empty, []
            for done in waiting:
                done()
        else:
            self.grow()

    def refuse(self, reason: str) -> None:
        """Report to the owner of every waiting job that no worker will take it."""
        for pending in self._table.queues.take_all():
            self._table.remove(pending)
            self._table.reply(pending.job, self._unavailable(pending.job, reason))

    def _unavailable(self, job: Job, reason: str) -> Unavailable:
        passing = self._refusal is None
        return Unavailable(job.token, reason, pool=self.supervisor.key.name if passing else "")

    def refuse_questions(self, reason: str) -> None:
        """Refuse the questions for which a caller waits, as no worker can be started soon."""
        for pending in [pending for pending in self._table.queues.shared.values() if pending.job.pressing]:
            self._table.queues.remove(pending.job.token)
            self._table.remove(pending)
            self._table.reply(pending.job, Unavailable(pending.job.token, reason))
