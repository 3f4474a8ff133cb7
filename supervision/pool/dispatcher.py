"""The jobs of one pool: which worker gets which, how they are cut short, and what becomes of them when workers die.

It is the half of a pool that knows of jobs; its ``WorkerSupervisor`` is the half that knows of lives.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from loguru import logger

from greenroom.messages.core.errors import CodecError
from greenroom.messages.core.failures import Exit
from greenroom.messages.frames.worker import (
    Abort,
    Completed,
    EndProgram,
    Evaluate,
    Execute,
    Failed,
    FromWorker,
    Judged,
    Progress,
    Resolve,
)
from greenroom.messages.policy import Limits
from greenroom.supervision.jobs import (
    Answered,
    Assigned,
    Backend,
    Job,
    JobEvent,
    Lost,
    Pool,
    PoolKey,
    Send,
    Unavailable,
    Withdraw,
)
from greenroom.supervision.policy.crash_attribution import Blame, blame, blame_for_backend
from greenroom.supervision.policy.recycling import worn_out
from greenroom.supervision.pool.deadlines import Deadlines
from greenroom.supervision.pool.job_queues import Queues
from greenroom.supervision.pool.pending_job import PendingJob, name_in
from greenroom.supervision.pool.suspects import ALONE_AFTER, Suspects
from greenroom.supervision.pool.worker_slot import Obituary, Slot
from greenroom.supervision.pool.worker_supervisor import Means, WorkerSupervisor

ABORT_GRACE: Final = 1.0
"""Seconds that code in a shared worker has to stop by itself once its time is over."""
AVOID_FOR: Final = 1.0
"""Seconds that a retry waits for another worker than the one it failed in."""
_ABORTABLE: Final = frozenset({Execute, Evaluate})
_RESULTS: Final = (Completed, Failed, Judged)


class Dispatcher:
    """Gives jobs to the workers of its roster. Reactor's thread only.

    Jobs wait in one queue, first come first served. Each goes to the least loaded worker that is ready; if none has
    room, one more is begun, up to the pool's size. A solo job gets a temporary worker of its own, besides the others,
    which ends with it. A job that its worker had not read when it died was not begun: it goes back to the head of the
    queue. A streaming one is lost and not charged instead, as further messages for it may have been sent along.
    """

    def __init__(self, key: PoolKey, policy: Pool, limits: Limits, backend: Backend, means: Means) -> None:
        """Take jobs, but begin no worker before ``open``."""
        self.roster = WorkerSupervisor(key, policy, limits, backend, means, self)
        self.dropped = 0
        """Messages of workers about jobs that nobody waits for: late results, and words of past lives."""
        self._turns = key.kind == "program"
        """Whether workers do one thing at a time, a turn of a program or an answer, so that it is known who held the
        loop."""
        self._loop = means.loop
        self._flights: dict[str, PendingJob] = {}
        """Every job that has not ended, by token."""
        self._deadlines = Deadlines(means.loop, self._due)
        self._queues = Queues()
        self._room: dict[Slot, None] = {}
        """Workers that can take a job now. May hold some that are ready no more: they are left out when met."""
        self._suspicion = Suspects()
        """Whose workers died together with those of others, in one process."""
        self._near_zygotes = Suspects()
        """Whose workers died with their zygote, and so with those of others."""
        self._is_open = False
        self._refusal: str | None = None
        """Why no job will ever be taken again."""
        self._on_empty: list[Callable[[], None]] = []
        self._draining = False
        """Whether no further job is begun, though those that run are waited for."""
        self._on_drained: Callable[[], None] | None = None

    @property
    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return len(self._flights)

    @property
    def waiting(self) -> int:
        """How many of them wait for a worker."""
        return len(self._queues)

    @property
    def working(self) -> bool:
        """Whether any job will be answered without a further word. A program that has begun may wait for one."""
        flights = self._flights.values()
        return any(not (flight.job.streaming and flight.sent) for flight in flights)

    def open(self) -> None:
        """Begin workers from now on."""
        self._is_open = True
        self.grow()

    def refuse_for_good(self, reason: str) -> None:
        """Take no job any more, and tell those who wait."""
        self._refusal = reason
        self.refuse(reason)

    def refusal(self) -> str | None:
        """Give the reason why no worker takes jobs, if there is one."""
        roster = self.roster
        return self._refusal or (roster.refusal if roster.refusal and roster.is_degraded() else None)

    def close(self, done: Callable[[], None], grace: float) -> None:
        """End every worker; ``done`` is called once all are confirmed dead."""
        self.refuse_for_good("The orchestrator is closing.")
        if not self.roster.slots:
            done()
            return
        self._on_empty.append(done)
        self.roster.stop_all(grace)

    def drain(self, done: Callable[[], None]) -> None:
        """Begin no further job; ``done`` is called once no attempt runs. Programs stay and get what is sent to them."""
        self._draining, self._on_drained = True, done
        self._check_drained()

    def abort_running(self) -> None:
        """Ask the attempts that still run to stop. Asynchronous code hears of it as a cancellation, other code not.

        An attempt that ends all the same is answered as ever. One that was cancelled is not: it is to be run again.
        """
        for flight in self._attempts():
            if flight.slot is not None and flight.sent:
                flight.slot.tell(Abort(token=flight.work))

    def _attempts(self) -> list[PendingJob]:
        """Give the attempts that a worker has."""
        flights = self._flights.values()
        return [flight for flight in flights if flight.slot is not None and type(flight.job.frame) in _ABORTABLE]

    def _check_drained(self) -> None:
        if self._on_drained is not None and not self._attempts():
            done, self._on_drained = self._on_drained, None
            done()

    # ------------------------------------------------------------ jobs come

    def submit(self, job: Job) -> None:
        """Take a job."""
        refusal = self.refusal()
        if refusal is not None:
            self._say(job, self._unavailable(job, refusal))
            return
        self._flights[job.token] = flight = PendingJob(job)
        if self.roster.annexes is not None and self._near_zygotes.is_grave(job, job.zygotes_lost):
            self._queues.apart[job.token] = flight
            self.grow()
        elif job.solo or self._suspicion.is_grave(job):
            self._queues.solo[job.token] = flight
            self.grow()
        elif (slot := self._roomiest(flight) or self._any_ready(job)) is not None:
            self._assign(flight, slot)
        else:
            self._queues.shared[job.token] = flight
            self._queues.shared.move_to_end(job.token, last=not job.pressing)
            self.grow()

    def _roomiest(self, flight: PendingJob) -> Slot | None:
        """Find the ready worker with the least to do; among idle ones the last used, so that the others may go.

        A retry waits a moment for another process than the one it failed in, where there can be one.
        """
        room = self._room
        while room and not self._draining:
            slot = next(reversed(room)) if self.roster.capacity == 1 else min(room, key=lambda slot: len(slot.flights))
            if slot.state != "ready" or slot.retiring:
                del room[slot]
            elif slot.pid != flight.avoid:
                return slot
            else:
                return self._another(flight, slot)
        return None

    def _another(self, flight: PendingJob, avoided: Slot) -> Slot | None:
        """Find a worker for a retry beside the one that it failed in; begin one, or take that one in the end."""
        others = [slot for slot in self._room if slot is not avoided and slot.state == "ready" and not slot.retiring]
        if others:
            return min(others, key=lambda slot: len(slot.flights))
        roster = self.roster
        coming = any(slot.state == "starting" and not slot.solo for slot in roster.slots.values())
        if not coming and roster.permanent < roster.size and roster.room() and self._is_open:
            roster.grow()
            coming = True
        if not coming:
            flight.avoid = None
            return avoided
        if flight.timer is None:
            flight.timer = self._loop.call_later(AVOID_FOR, self._avoid_no_longer, flight)
        return None

    def _avoid_no_longer(self, flight: PendingJob) -> None:
        """Give a retry to any worker: another one did not come soon."""
        flight.timer = flight.avoid = None
        self._hand_out()

    def _hand_out(self) -> None:
        """Give the jobs that wait to the workers that have room."""
        for flight in list(self._queues.shared.values()) if self._room and not self._draining else ():
            if (slot := self._roomiest(flight)) is not None:
                del self._queues.shared[flight.job.token]
                self._assign(flight, slot)
            elif not self._room:
                return

    def _any_ready(self, job: Job) -> Slot | None:
        """Find a worker for a question: that takes moments, so it needs no room beside programs that wait for hours."""
        if not job.pressing:
            return None
        slots = self.roster.slots.values()
        ready = [slot for slot in slots if slot.state == "ready" and not slot.retiring and not slot.solo]
        return min(ready, key=lambda slot: len(slot.flights), default=None)

    def grow(self) -> None:
        """Begin as many workers as the waiting jobs need and the pool's size allows."""
        if not self._is_open or self._draining or self.refusal() is not None:
            return
        roster, queues = self.roster, self._queues
        waiting = len(queues.shared)
        more = waiting > 0 and roster.permanent < roster.size
        if not (more or queues.solo or queues.apart):
            return
        room = roster.room()
        if more:
            slots = roster.slots.values()
            idle_or_going = {"ready", "stopping"}
            begun = sum(slot.state not in idle_or_going for slot in slots if slot.restart != "temporary")
            coming = begun * roster.capacity
            while coming < waiting and roster.permanent < roster.size and room > 0:
                roster.grow()
                coming += roster.capacity
                room -= 1
        if queues.solo:
            for _ in range(min(len(queues.solo) - self._free(queues.solo), self._seats(), room)):
                roster.grow("temporary")
        if queues.apart:
            self._grow_apart(room)

    def _free(self, queue: Mapping[str, PendingJob]) -> int:
        """Count the temporary workers that are about to take jobs from a queue."""
        slots = [slot for slot in self.roster.slots.values() if self._queues.of(slot) is queue]
        return sum(not slot.flights and slot.state not in {"stopping", "ending"} for slot in slots)

    def _seats(self) -> int:
        """Count the temporary workers that may be begun besides those there are."""
        return self.roster.size - sum(slot.solo for slot in self.roster.slots.values())

    def _grow_apart(self, room: int) -> None:
        """Begin workers below zygotes of their own, none beside a job that may be killing all of them."""
        annexes, queue = self.roster.annexes, self._queues.apart
        assert annexes is not None, "without annexes no job waits for one"
        free = self._free(queue)
        for flight in list(queue.values())[free : free + min(self._seats(), room)]:
            exclusive = self._is_exclusive(flight)
            if not annexes.has_room(exclusive=exclusive):
                return
            backend = annexes.open(self.roster.key, self.roster.policy, exclusive=exclusive)
            self.roster.grow("temporary", backend)

    def _is_exclusive(self, flight: PendingJob) -> bool:
        """Say whether a job was near so many deaths that nothing may run beside it that could be taken for it."""
        return self._near_zygotes.count(flight.job, flight.job.zygotes_lost) > ALONE_AFTER

    def _assign(self, flight: PendingJob, slot: Slot) -> None:
        """Give a job to a worker, and send it unless it is held."""
        job = flight.job
        flight.stop_timer()
        flight.slot = slot
        slot.wear.jobs += 1
        slot.flights[flight.work] = flight
        if len(slot.flights) >= slot.capacity:
            self._room.pop(slot, None)
        assert slot.pid is not None, f"{slot} is ready without a process"
        assigned = Assigned(job.token, slot.id, slot.pid, slot.incarnation)
        if not flight.released or self._dispatch(flight, slot):
            self._say(job, assigned)
        policy = self.roster.policy
        if policy.fresh and not slot.solo and self._is_open and self.roster.permanent < self.roster.size:
            if not any(other.state in {"ready", "starting"} and not other.flights for other in self._pool_slots()):
                self.roster.grow()  # so that the next job need not wait for this process to be replaced
        elif slot.capacity > 1 and policy.max_jobs is not None:
            self._replace_if_worn(slot)

    def _pool_slots(self) -> list[Slot]:
        return [slot for slot in self.roster.slots.values() if slot.restart != "temporary"]

    def _dispatch(self, flight: PendingJob, slot: Slot) -> bool:
        """Send a job to its worker and start its clock; False where it cannot be sent and has therefore ended."""
        job = flight.job
        flight.sent = True
        try:
            flight.mark = slot.tell(job.frame)
        except CodecError as error:
            self._unsendable(flight, error)
            return False
        if self._turns:
            slot.turns.append((flight, flight.mark))
        if job.timeout is not None:
            self._deadlines.set(flight, job.timeout)
        return True

    def release(self, token: str) -> None:
        """Send a held job. The release stays with the job, whichever worker it is given to in the end."""
        flight = self._flights.get(token)
        if flight is None or flight.released:
            return
        flight.released = True
        if flight.slot is not None and flight.slot.state == "ready":
            self._dispatch(flight, flight.slot)

    def send(self, message: Send) -> None:
        """Send a further frame to the worker of a streaming job."""
        flight = self._flights.get(message.token)
        if flight is None or flight.slot is None or not flight.sent:
            return
        try:
            mark = flight.slot.tell(message.frame)
        except CodecError as error:
            self._unsendable(flight, error)
            return
        if type(message.frame) is Resolve:
            flight.slot.turns.append((flight, mark))

    def _unsendable(self, flight: PendingJob, error: CodecError) -> None:
        """End a job whose frame is too long for the wire: no worker can ever take it."""
        if flight.job.streaming and flight.slot is not None:
            flight.slot.tell(EndProgram(run_id=flight.work))
        self._conclude(flight)
        reason = f"{flight.job.label} cannot be sent to a worker: {error}"
        self._say(flight.job, Unavailable(flight.job.token, reason, unsendable=True))

    # ------------------------------------------------------------ workers speak

    def ready(self, slot: Slot) -> None:
        """Give a fresh worker what waits for it."""
        if slot.solo:
            self._fill_alone(slot)
        else:
            self._fill(slot)
        if self._queues:
            self.grow()

    def heard(self, slot: Slot | None, message: FromWorker) -> None:
        """Take what a worker says of a job to whoever waits for it."""
        name = name_in(message)
        flight = slot.flights.get(name) if slot is not None and name is not None else None
        if slot is None or flight is None or not flight.sent or (flight.cut is not None and slot.state != "ready"):
            self.dropped += 1  # where its worker is being ended for it, only that end is its end
            return
        kind = type(message)
        if kind not in flight.answers:
            slot.kill(Exit(kind="garbage", detail=f"it answered {flight.job.label} with a message of another kind"))
            return
        if self._turns:
            slot.take_turn(flight)
            slot.served = True
            self._near_zygotes.clear(flight.job)
        if kind is Progress or flight.job.streaming:
            self._answer(flight, message)
            return
        slot.served = True
        if isinstance(message, _RESULTS):
            failed = message.error is not None if isinstance(message, Judged) else isinstance(message, Failed)
            slot.wear.ended(succeeded=not failed, spoilt=message.spoilt)
        self._suspicion.clear(flight.job)
        self._near_zygotes.clear(flight.job)
        self._conclude(flight)
        if not (self._draining and isinstance(message, Failed) and message.failure.outcome == "cancelled"):
            self._answer(flight, message)
        if self._draining:
            self._check_drained()

    def _answer(self, flight: PendingJob, message: FromWorker) -> None:
        if flight.cut is None:
            self._say(flight.job, Answered(flight.job.token, message))
            return
        self.dropped += 1
        if flight.job.token not in self._flights:
            self._say_cut(flight)

    def _conclude(self, flight: PendingJob) -> None:
        """Take a job from its worker, which goes on with the next one."""
        self._stop_clock(flight)
        del self._flights[flight.job.token]
        slot = flight.slot
        if slot is None or slot.flights.get(flight.work) is not flight:
            return
        del slot.flights[flight.work]
        if flight.cut is not None and flight.sent:
            slot.doubtful -= 1
        if not slot.flights:
            slot.idle_since = self._loop.time()
        if slot.restart == "temporary":
            if not slot.flights:
                slot.stop()
        elif not self._replace_if_worn(slot):
            self._fill(slot)

    def _stop_clock(self, flight: PendingJob) -> None:
        self._deadlines.forget(flight)
        flight.stop_timer()

    def _replace_if_worn(self, slot: Slot) -> bool:
        """Have a worker replaced where it must not get another job; say whether that is so."""
        policy = self.roster.policy
        why = worn_out(slot.wear, capacity=slot.capacity, max_jobs=policy.max_jobs, fresh=policy.fresh)
        if why and slot.state == "ready":
            self._room.pop(slot, None)
            self.roster.replace(slot, why)
        return bool(why)

    def _fill(self, slot: Slot) -> None:
        """Give a worker jobs from the queue until one of them is exhausted."""
        if self._draining:
            return
        while slot.state == "ready" and not slot.retiring and not slot.doubtful and len(slot.flights) < slot.capacity:
            shared = self._queues.shared
            flight = next((each for each in shared.values() if each.avoid != slot.pid), None) if shared else None
            if flight is None:
                self._room[slot] = None
                return
            del shared[flight.job.token]
            self._assign(flight, slot)

    def _fill_alone(self, slot: Slot) -> None:
        queue, annexes = self._queues.of(slot), self.roster.annexes
        waiting: Iterable[PendingJob] = () if self._draining else queue.values()
        if slot.backend is not None and annexes is not None and not annexes.is_exclusive(slot.backend):
            waiting = (flight for flight in waiting if not self._is_exclusive(flight))
        if (flight := next(iter(waiting), None)) is not None:
            del queue[flight.job.token]
            self._assign(flight, slot)
        else:
            slot.stop()

    # ------------------------------------------------------------ jobs are cut short

    def _due(self, flight: PendingJob) -> None:
        """Hear what has arrived before an attempt's time counts as over.

        After a machine has slept, time may be over though the answer is there: the loop may have looked for input last
        just before. Two rounds of it are enough to read what is there, and an answer stops this.
        """
        flight.timer = self._loop.call_soon(self._listen, flight)

    def _listen(self, flight: PendingJob) -> None:
        flight.timer = self._loop.call_soon(self._overrun, flight)

    def _overrun(self, flight: PendingJob) -> None:
        """End an attempt whose time is over. Its result is void from here on, whatever still comes."""
        job = flight.job
        end = Exit(kind="timeout", detail=f"{job.label} had {job.timeout:g} s")
        shared = self.roster.capacity > 1 and type(job.frame) in _ABORTABLE
        self._cut(flight, "overran", end, ABORT_GRACE if shared else 0.0)

    def withdraw(self, message: Withdraw) -> None:
        """Forget a job, or end it without another word of it."""
        flight = self._flights.get(message.token)
        done = message.done or _nothing
        if flight is None:
            done()
            return
        flight.done = done
        if flight.slot is None or not flight.sent:
            self._queues.remove(message.token)
            self._conclude(flight)
            done()
        elif flight.job.streaming:
            if message.farewell is not None:
                flight.slot.tell(message.farewell)
            self._conclude(flight)
            done()
        else:
            end = Exit(kind="stopped", detail=f"{flight.job.label} was withdrawn")
            self._cut(flight, "withdrawn", end, message.grace)

    def _cut(self, flight: PendingJob, why: Literal["overran", "withdrawn"], end: Exit, grace: float) -> None:
        """Ask the worker to stop with a job, and end it if it does not within ``grace`` seconds."""
        slot = flight.slot
        if slot is None:
            return
        self._stop_clock(flight)
        if flight.cut is None:
            slot.doubtful += 1
            self._room.pop(slot, None)
        flight.cut, flight.end = why, end
        if grace > 0:
            slot.tell(Abort(token=flight.work))
            flight.timer = self._loop.call_later(grace, slot.kill, end)
        else:
            slot.kill(end)

    def _say_cut(self, flight: PendingJob, died: Exit | None = None) -> None:
        """Say the end of a job that was cut short, now that nothing of it runs any more.

        Args:
            flight: The job.
            died: How its worker ended, where it did not stop by itself.
        """
        if flight.cut == "withdrawn":
            (flight.done or _nothing)()
        elif flight.end is not None:
            end = flight.end
            if died is not None and died.kind == "timeout":  # with the evidence that the process left
                end = died.model_copy(update={"detail": end.detail})
            self._say(flight.job, Lost(flight.job.token, end, charged=died is None or not died.injected))

    # ------------------------------------------------------------ workers die

    def settle(self, slot: Slot, obituary: Obituary) -> Blame:
        """Tell the jobs of a dead worker; those that it never began go back to the head of the queue."""
        self._room.pop(slot, None)
        holder = slot.holder(obituary.read)
        flights, slot.flights = list(slot.flights.values()), {}
        begun = [flight for flight in flights if flight.sent and flight.mark <= obituary.read]
        culprits = [flight.job.token for flight in begun if flight.cut is not None]
        end = self._end_of(slot, obituary, flights, culprits)
        running, held_by = [flight.job.token for flight in begun], holder.job.token if holder is not None else None
        if end.kind == "backend_lost" and not end.injected:
            annexes = self.roster.annexes
            apart = slot.backend is not None and annexes is not None and annexes.convicts(slot.backend)
            verdict = blame_for_backend(running, turns=self._turns, holder=held_by, apart=apart)
        else:
            verdict = blame(end, running, culprits=culprits, turns=self._turns, holder=held_by)
        for flight in reversed(flights):
            if flight not in begun:
                self._take_back(flight, slot, end)
        for flight in begun:
            self._bury(flight, end, verdict)
        if (refusal := self.refusal()) is not None:
            self.refuse(refusal)
        self._hand_out()
        self._check_drained()
        return verdict

    def _end_of(self, slot: Slot, obituary: Obituary, flights: list[PendingJob], culprits: list[str]) -> Exit:
        """Give the end of a life as its jobs should see it."""
        end = obituary.end
        if obituary.ordered:
            return end.model_copy(update={"kind": "stopped"})
        if end.kind == "timeout" and slot.capacity > 1 and not culprits:
            waited = next((flight.job.label for flight in flights if flight.cut == "overran"), "a job")
            detail = f"it did not even read {waited}, whose time was over"
            return end.model_copy(update={"kind": "blocked", "detail": detail})
        return end

    def _take_back(self, flight: PendingJob, slot: Slot, end: Exit) -> None:
        """Put a job that a dead worker never began back at the head of its queue, unless nobody waits for it."""
        if flight.cut == "withdrawn" or (flight.sent and flight.job.streaming):
            self._bury(flight, end, Blame())
            return
        self._stop_clock(flight)
        flight.take_back()
        self._queues.put_first(flight, slot)

    def _bury(self, flight: PendingJob, end: Exit, verdict: Blame) -> None:
        job = flight.job
        self._stop_clock(flight)
        del self._flights[job.token]
        if job.token in verdict.suspects:
            (self._near_zygotes if end.kind == "backend_lost" else self._suspicion).add(job)
        if flight.cut is not None:
            self._say_cut(flight, end)
        else:
            self._say(job, Lost(job.token, end, charged=job.token in verdict.charged))

    def gone(self, slot: Slot) -> None:
        """Note that a slot is no more; jobs that still wait may need another."""
        del slot
        if self._on_empty and not self.roster.slots:
            waiting, self._on_empty = self._on_empty, []
            for done in waiting:
                done()
        else:
            self.grow()

    def refuse(self, reason: str) -> None:
        """Tell everyone who waits for a worker that none will come."""
        for flight in self._queues.take_all():
            del self._flights[flight.job.token]
            self._say(flight.job, self._unavailable(flight.job, reason))

    def _unavailable(self, job: Job, reason: str) -> Unavailable:
        passing = self._refusal is None
        return Unavailable(job.token, reason, pool=self.roster.key.name if passing else "")

    def refuse_questions(self, reason: str) -> None:
        """Tell those who ask something for a person: they have not the time to wait until a worker can be begun."""
        for flight in [flight for flight in self._queues.shared.values() if flight.job.pressing]:
            self._queues.remove(flight.job.token)
            del self._flights[flight.job.token]
            self._say(flight.job, Unavailable(flight.job.token, reason))

    def _say(self, job: Job, event: JobEvent) -> None:
        """Tell a job's owner. Its fault must not become the pool's."""
        try:
            job.reply(event)
        except Exception as error:  # noqa: BLE001  logged; the next job must not suffer for it
            logger.opt(exception=error).error("the owner of job {} could not take {}", job.token, type(event).__name__)


def _nothing() -> None:
    """Do nothing: for those who did not ask to be told."""
