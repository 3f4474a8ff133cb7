"""The directory of runs: which supervisors are in memory, how the others are brought back, and who watches what."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Literal, TypeVar

from loguru import logger

from greenroom.journal.interface import Append, RunRow
from greenroom.messages.commands import Accepted, Refused, StartRun
from greenroom.messages.core.errors import CodecError, JournalError, OrchestratorClosed, SequenceConflict
from greenroom.messages.core.failures import Failure
from greenroom.messages.events.events import AnyEvent, RunRetried
from greenroom.messages.records import ALIVE
from greenroom.supervision.jobs import PoolKey
from greenroom.supervision.loop.actor import LoopRef, actor_of
from greenroom.workflows.clock import Alarm
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.inputs import ChildFinished, Confirmed, EngineFault, Input, Recover
from greenroom.workflows.queries.load import load
from greenroom.workflows.queries.records import failed_at
from greenroom.workflows.runs.actor import RunActor
from greenroom.workflows.runs.budget_accounts import Ledger
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.fork import RunForker
from greenroom.workflows.runs.residency import ResidentRuns
from greenroom.workflows.runs.retry import RunRetrier
from greenroom.workflows.runs.start import RunStarter
from greenroom.workflows.runs.watching.snapshot import Snapshot, snapshot_of
from greenroom.workflows.runs.watching.subscribers import Subscribers
from greenroom.workflows.schedules.queries import is_schedule
from greenroom.workflows.state.fold import fold
from greenroom.workflows.state.run_state import CANCEL_KEY, RunState

CLOSED: Final = "the orchestrator is closed; open the journal again to go on with its runs"
"""Answer to whoever still asks for something."""

LINGER: Final = 0.005
"""Seconds that events which nobody waits for may stay in memory, so that one commit can take several of them."""
CROWD: Final = 8
"""Runs with such events from which on their steps take longer than that, so that they would go each by itself."""
LINGER_IN_CROWD: Final = 0.1
"""Seconds for which they stay then."""

T = TypeVar("T")


class RunRegistry:
    """Keeps the supervisors. All methods run on the reactor's thread unless they say otherwise; none blocks.

    The journal is read in a thread of its own, and messages for a run that is being read wait for it.
    """

    def __init__(self) -> None:
        """Begin without any run; ``attach`` must follow."""
        self._services: RunDependencies
        self._live: dict[str, LoopRef[RunActor]] = {}
        self._states: dict[str, RunState] = {}
        self._loading: dict[str, list[Input | Confirmed]] = {}
        self._reading = 0
        """Reads under way, these and others."""
        self._alarms: dict[str, Alarm] = {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="greenroom-reader")
        self._leaving: dict[str, list[Callable[[], None]]] = {}
        """What to do once the supervisor of a run that has ended has left."""
        self.ledger = Ledger()
        self.dozing = ResidentRuns()
        self.launches = RunStarter(self)
        self.watchers = Subscribers(self)
        self.retries = RunRetrier(self)
        self.forks = RunForker(self)
        self._lingering: list[Callable[[], None]] = []
        """What is flushed together, once ``LINGER`` is over, or ``LINGER_IN_CROWD``."""
        self._closed = False

    def attach(self, services: RunDependencies) -> None:
        """Get to know the orchestrator. Any thread, once, before anything else."""
        self._services = services
        self.launches.attach(services)

    def statistics(self) -> dict[str, int]:
        """Count supervisors in memory, runs being read and alarms set."""
        return {"live": len(self._live), "loading": len(self._loading), "alarms": len(self._alarms)}

    def peek(self, run_id: str, reply: Callable[[Snapshot | None], None]) -> None:
        """Copy what is in memory of a run, None where nothing is."""
        actor = actor_of(self._live[run_id]) if run_id in self._live else None
        reply(snapshot_of(actor) if actor is not None else None)

    def working(self) -> bool:
        """Say whether any run has something under way, or is itself on its way to or from the journal."""
        if self.launches or self._loading or self._reading or self._lingering:
            return True
        return any((actor := actor_of(ref)) is not None and actor.working for ref in self._live.values())

    # ------------------------------------------------------------ starting

    def state(self, run_id: str) -> RunState | None:
        """Give the state of a run that is in memory. It is the supervisor's own: look, and touch nothing."""
        return self._states.get(run_id)

    def enter(self, state: RunState, ref: LoopRef[RunActor]) -> None:
        """Take in a run that the disk has accepted."""
        self._states[state.run_id] = state
        self.ledger.open(state)
        self._live[state.run_id] = ref

    def closed(self) -> Refused | None:
        """Say why nothing is started any more; None while the orchestrator is open."""
        return Refused(code="closed", message=CLOSED) if self._closed else None

    def launch_child(self, parent: RunState, key: str) -> None:
        """See ``Directory``."""
        child = parent.children[key]
        command = StartRun(
            run_id=child.run_id,
            app=child.app,
            workflow=child.workflow,
            arguments=child.arguments,
            version=child.version,
            fingerprint=child.fingerprint,
            budget=child.budget,
        )

        def launched(answer: Accepted | Refused) -> None:
            if isinstance(answer, Refused):
                failure = Failure(outcome="error", type=answer.code, message=answer.message)
                self.route(parent.run_id, ChildFinished(key, None, failure))
            elif not answer.created and child.retry is not None:
                self.retries.retry_child(child.run_id, child.retry)
            elif not answer.created and child.run_id not in self._live:
                self.read(partial(self._load, child.run_id), self.announce_to_parent)

        self.launches.launch(command, launched, parent=parent.run_id, key=key, accounts=parent.accounts)

    def announce_to_parent(self, state: RunState) -> None:
        """Tell the run that awaits this one how it ended, where both is so."""
        if state.ended is None or state.parent is None or state.parent_key is None:
            return
        failure = state.failure
        if state.ended == "cancelled":
            failure = Failure(outcome="cancelled", message=state.reason or f"run {state.run_id} was cancelled")
        step, attempts = failed_at(state)
        older = (each.model_copy(update={"traceback": ""}) for each in attempts[:-1])  # they stay in this run's journal
        self.route(state.parent, ChildFinished(state.parent_key, state.result, failure, step, (*older, *attempts[-1:])))

    def reopen(self, state: RunState, event: RunRetried, accepted: Callable[[JournalError | None], None]) -> None:
        """Let a run go on that had ended; ``accepted`` hears whether the event that says so is on the disk.

        Args:
            state: The run as the journal has it.
            event: What it goes on with.
            accepted: Called on the reactor's thread.
        """
        if (there := self._states.get(state.run_id)) is not None:  # its supervisor is about to leave
            again = partial(self.reopen, state, event, accepted)
            if there.ended is None:
                accepted(SequenceConflict(f"run {state.run_id} goes on already"))
            else:
                self._leaving.setdefault(state.run_id, []).append(again)
            return

        def committed(error: JournalError | None) -> None:
            if error is None and not self._closed:
                self._live[state.run_id].tell(Recover(orphaned=False))
            accepted(error)

        self._states[state.run_id] = fold(state, event)
        self._live[state.run_id] = RunActor.start(self._services, state, first=[event], accepted=committed)

    # ------------------------------------------------------------ Directory

    def route(self, run_id: str, happened: Input | Confirmed) -> None:
        """See ``Directory``."""
        if (ref := self._live.get(run_id)) is not None:
            ref.tell(happened)
        elif self.launches.take(run_id, happened):
            return
        elif (waiting := self._loading.get(run_id)) is not None:
            waiting.append(happened)
        elif not self._closed:
            self._loading[run_id] = [happened]
            self.read(
                partial(self._load, run_id), partial(self._loaded, orphaned=False), partial(self._unreadable, run_id)
            )

    def linger(self, flush: Callable[[], None]) -> None:
        """See ``Directory``. One timer serves all supervisors: they are many, and most have written long before."""
        if not self._lingering:
            self._services.reactor.loop.call_later(LINGER, self._flush_unless_crowded)
        self._lingering.append(flush)

    def _flush_unless_crowded(self) -> None:
        if len(self._lingering) > CROWD:
            self._services.reactor.loop.call_later(LINGER_IN_CROWD - LINGER, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        lingering, self._lingering = self._lingering, []
        if not self._closed:
            for flush in lingering:
                flush()

    def published(self, run_id: str) -> None:
        """See ``Directory``."""
        self.watchers.published(run_id)

    def announce(self, state: RunState) -> None:
        """See ``Directory``."""
        self.watchers.ended(state)
        self.announce_to_parent(state)
        if state.session is not None:
            self._services.post.stopped(state)
        self.watchers.finished(state.run_id)

    def forget(self, state: RunState, wake_at: float | None) -> None:
        """See ``Directory``."""
        if self._states.get(state.run_id) is not state:
            return  # its id was taken: the run of this id is another's
        del self._states[state.run_id]
        self._live.pop(state.run_id, None)
        self.ledger.close(state)
        for again in self._leaving.pop(state.run_id, ()):
            again()
        if wake_at is not None:
            self._wake(state.run_id, wake_at)

    def _wake(self, run_id: str, due: float) -> None:
        self._alarms[run_id] = self._services.call_at(due, partial(self._ring, run_id))

    def _ring(self, run_id: str) -> None:
        self._alarms.pop(run_id)
        self.route(run_id, Recover(orphaned=False))  # recovering looks at every due moment anyway

    # ------------------------------------------------------------ recovery

    def stranded(self, pool: PoolKey | None, then: Callable[[list[tuple[str, str]]], None]) -> None:
        """Find the runs that are parked until a pool works again, of one pool or of all, each with the pool's name."""

        def find() -> list[tuple[str, str]]:
            marks = self._services.journal.marks("stranded", name=None if pool is None else pool.name)
            found = [(mark.run_id, mark.name) for mark in marks]
            if pool is None:
                return found
            return [each for each in found if (row := self.row(each[0])) is not None and row.app == pool.app]

        self.read(find, then)

    def recover(self) -> None:
        """Take up every run that was going on when the journal was last closed or cut off."""

        def found(rows: list[RunRow]) -> None:
            rows = [row for row in rows if row.kind != "schedule" and not row.damaged]
            for app in {row.app for row in rows}:
                self._services.warm(app)  # while it is loaded, its runs are read
            self.read(partial(self._unfinished, rows), self._take_up)

        self.read(lambda: self._services.journal.runs(status=ALIVE, limit=None), found)

    def _unfinished(self, rows: list[RunRow]) -> tuple[list[RunState], dict[str, float]]:
        """Read all of them. Reader's thread. A run that cannot be read is set aside; the others are not held up."""
        states: list[RunState] = []
        for row in rows:
            try:
                states.append(self._load(row.id))
            except (JournalError, CodecError, ValueError, LookupError) as error:
                logger.error("run {} is set aside, it cannot be recovered: {}", row.id, error)
        waiting: dict[str, float] = {}
        for timer in self._services.journal.timers(waiting=True):
            if not is_schedule(timer.run_id):
                waiting.setdefault(timer.run_id, timer.due)
        for timer in self._services.journal.timers():
            if timer.key == CANCEL_KEY:  # a parked run too is ended once the time of its cleanup is over
                waiting[timer.run_id] = min(timer.due, waiting.get(timer.run_id, timer.due))
        for mark in self._services.journal.marks("outgoing"):
            waiting[mark.run_id] = 0.0  # whatever else it is at, its messages have to be delivered
        return states, waiting

    def _take_up(self, found: tuple[list[RunState], dict[str, float]]) -> None:
        states, waiting = found
        for state in states:
            self._loaded(state, orphaned=True)
        for run_id, due in waiting.items():
            if run_id not in self._live:
                self._wake(run_id, due)

    def _load(self, run_id: str) -> RunState:
        """Fold a run from the journal. Reader's thread."""
        state = load(self._services.journal, run_id)
        self.load_accounts(state)
        return state

    def load_accounts(self, state: RunState) -> None:
        """Add up the budgets that a run draws on, where that has not been done. Reader's thread."""
        self.ledger.load(state, self.events)

    def events(self, run_id: str) -> list[AnyEvent]:
        """Give all events of a run. Reader's thread."""
        return [stored.event for stored in self._services.journal.events(run_id)]

    def row(self, run_id: str) -> RunRow | None:
        """Give a run's line of the index. Any thread but the reactor's."""
        return self._services.journal.run(run_id)

    def observe(self, run_id: str, workflow: str, event: AnyEvent) -> None:
        """Let those who follow events see one that no supervisor has written."""
        self._services.observe(run_id, workflow, event)

    def write(self, append: Append) -> None:
        """Have events of a run written that nobody here has."""
        self._services.journal.append(append)

    def on_reactor(self, call: Callable[..., object], *args: object) -> None:
        """Call something on the reactor's thread. Any thread."""
        self._services.reactor.call(call, *args)

    def clock(self) -> float:
        """Give the time, in seconds since the Unix epoch. Any thread."""
        return self._services.clock()

    def _loaded(self, state: RunState, *, orphaned: bool) -> None:
        waiting = self._loading.pop(state.run_id, [])
        if state.run_id not in self._live:
            if state.ended is not None and not state.outgoing:
                self._answer_for_ended(state, waiting)
                return
            faults = [each for each in waiting if isinstance(each, EngineFault)]
            if faults and (state.halted or state.ended):  # it was parked before: to recover it would fail once more
                self._refuse(waiting, JournalError(faults[0].reason))
                return
            self._adopt(state, *faults, Recover(orphaned=orphaned))
        for happened in waiting:
            if not isinstance(happened, (Recover, EngineFault)):
                self._live[state.run_id].tell(happened)

    def _answer_for_ended(self, state: RunState, waiting: list[Input | Confirmed]) -> None:
        for happened in waiting:
            if isinstance(happened, Confirmed):
                decided = decide(state, happened.happened, self._services.clock(), self._services.random())
                happened.reply(decided.refused, decided.receipt)

    def _unreadable(self, run_id: str, error: BaseException) -> None:
        self._refuse(
            self._loading.pop(run_id, []), error if isinstance(error, JournalError) else JournalError(str(error))
        )
        if not self._closed:
            logger.error("run {} cannot be read: {}", run_id, error)

    @staticmethod
    def _refuse(waiting: list[Input | Confirmed], error: JournalError) -> None:
        for happened in waiting:
            if isinstance(happened, Confirmed):
                happened.reply(error, 0)

    def _adopt(self, state: RunState, *first: Input) -> None:
        if (alarm := self._alarms.pop(state.run_id, None)) is not None:
            alarm.cancel()
        self._states[state.run_id] = state
        ref = RunActor.start(self._services, state)
        self._live[state.run_id] = ref
        for happened in first:
            ref.tell(happened)

    def parked(self, kind: Literal["run", "session"], name: str | None) -> list[str]:
        """Give the ids of the runs or sessions that are parked, of one name or of all. Any thread but the reactor's."""
        rows = self._services.journal.runs(status=("parked",), limit=None)
        return [row.id for row in reversed(rows) if row.kind == kind and name in {None, row.workflow}]

    # ------------------------------------------------------------ plumbing

    def read(
        self, job: Callable[[], T], then: Callable[[T], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Run ``job`` in the reader's thread and ``then`` with its result on the reactor."""

        def finished(future: "asyncio.Future[T]") -> None:
            self._reading -= 1
            error = OrchestratorClosed(CLOSED) if future.cancelled() or self._closed else future.exception()
            if error is None:
                then(future.result())
            elif failed is not None:
                failed(error)
            elif not self._closed:
                logger.opt(exception=error).error("the journal cannot be read")

        self._reading += 1
        self._services.reactor.loop.run_in_executor(self._reader, job).add_done_callback(finished)

    def close(self) -> None:
        """Stop every supervisor where it stands. What was in flight is taken up from the journal next time."""
        self._closed = True
        for ref in self._live.values():
            ref.silence()
        self.launches.close()
        for alarm in self._alarms.values():
            alarm.cancel()
        self._live.clear()
        self._alarms.clear()
        self.watchers.close()
        self._reader.shutdown(wait=False, cancel_futures=True)
