"""The supervisor actor: owns one run's state, and carries out what ``decide`` says.

One message at a time goes through the same words: decide, record, apply, then dispatch. State is applied at once; what
others may see of it leaves only after its commit. If the journal fails, everything that was not committed dies with the
orchestrator, and the next one folds the same state from what is on the disk.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, assert_never

from loguru import logger
from typing_extensions import override

from greenroom.journal.interface import Append, Mark, MarkKind, Timer
from greenroom.messages.core.errors import EventUnwritable, GreenroomError, JournalError, SequenceConflict
from greenroom.messages.events.events import AnyEvent
from greenroom.supervision.loop.actor import LoopActor, tell_living
from greenroom.workflows.clock import Alarm
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.effects import Effect
from greenroom.workflows.decisions.inputs import Confirmed, Input
from greenroom.workflows.queries.records import row_of
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.evaluations import EvaluationJobs
from greenroom.workflows.runs.jobs.program import ProgramJob
from greenroom.workflows.runs.jobs.steps import StepJobs
from greenroom.workflows.state.budgets import wall
from greenroom.workflows.state.run_state import RunState, Step

PASSIVATE_AFTER: Final = 30.0
"""A run that waits for nothing but a moment further away than this is dropped from memory until then."""
CHILD_PATIENCE: Final = 1.0
"""Seconds that a run which waits for its children alone stays in memory. Then it makes room for them: parents that held
their places in the program workers could keep their own children from ever beginning."""
DOZE: Final = 2.0
"""Seconds that a run which waits for a far moment, or for a person, stays in memory without its program, as long as
there is room (see ``dozing``): the next of many messages finds it there."""
SESSION_PATIENCE: Final = 0.1
"""Seconds that a session stays in memory after its newest turn: the next message of a burst finds it there. To read it
anew takes about a millisecond, and thousands that were told something once should not all be here at once."""


class RunActor(LoopActor):
    """One run. Lives on the reactor while the run has something to do.

    Its messages are the values of ``workflows.decisions.inputs``. ``start`` is called with the fold of the journal;
    ``first`` are the newest events of it, where they are not in the journal yet.
    """

    def __init__(
        self,
        services: RunDependencies,
        state: RunState,
        *,
        first: Sequence[AnyEvent] = (),
        accepted: Callable[[JournalError | None], None] | None = None,
    ) -> None:
        """Take over a run; ``accepted`` hears, on the reactor's thread, whether ``first`` are on the disk."""
        super().__init__(services.reactor)
        self._services = services
        self.state = state
        self._unwritten: list[AnyEvent] = []
        """Events that nobody waits for; they go with the next append, or at the directory's next call of ``_flush``."""
        self._pending = 0
        """Appends that are not on the disk yet."""
        self._after: list[Effect] = []
        """Effects without events of their own that must not overtake the ones before them."""
        report: Callable[[Input], None] = partial(tell_living, self.actor_ref)
        self._jobs = StepJobs(services, state, report)
        self._panels: dict[str, EvaluationJobs] = {}
        self._program = ProgramJob(services, state.run_id, report)
        self._alarm: tuple[float, Alarm] | None = None
        self._left = False
        """Whether it has gone from memory; what still reaches it is for the one that comes after it."""
        self._faulted: list[Input | Confirmed] = []
        """After a fault of the engine: that fault, and what came later, for the actor that reads the run anew."""
        self._looking = 0
        """Messages whose keys are being looked up."""
        self._delivering: set[str] = set()
        """Messages from the program that are on their way."""
        self._quiet_since: float | None = None
        """Since when nothing of the run goes on here."""
        self._looks_later = False
        """Whether it is going to look if the run has been quiet for long."""
        self._dozes = False
        """Whether it is here only in case that something comes, without its program."""
        self._told = 0
        """How many outcomes the program knew as the run began to doze."""
        self._resolutions = 0
        """How many outcomes there were when the program was told of the newest."""
        if first:
            self._append(first, [], accepted)

    def __repr__(self) -> str:
        """Say what the run is at."""
        return f"<RunSupervisor of {self.state.run_id}: {self.state.status}, {self.state.seq} events>"

    @override
    def on_receive(self, message: Input | Confirmed) -> None:
        """Take one message through its life."""
        if self._left:  # it came in between the decision to leave and leaving
            self._services.directory.route(self.state.run_id, message)
            return
        if self._faulted:
            self._faulted.append(message)
            return
        happened, reply = (message.happened, message.reply) if isinstance(message, Confirmed) else (message, None)
        if isinstance(happened, inputs.Signal) and self._must_look_up(happened):
            self._look_up(happened, reply)
            return
        now, accounts = self._services.clock(), self._services.directory.ledger
        over = accounts.overdraft(self.state, now) if self.state.accounts else None
        try:
            decision = decide(self.state, happened, now, self._services.random(), over)
        except BaseException as error:
            if reply is not None:
                reply(JournalError(_fault(error)), 0)
            raise
        self._carry_out(decision, reply)

    def _must_look_up(self, signal: inputs.Signal) -> bool:
        """Whether nobody here knows if a message came before: a session does not remember all of its keys."""
        key = signal.key
        unknown = key is not None and signal.known is None and key not in self.state.message_keys
        return unknown and self.state.session is not None and self.state.turns > 0

    def _look_up(self, signal: inputs.Signal, reply: Callable[[GreenroomError | None, int], None] | None) -> None:
        assert signal.key is not None
        self._looking += 1

        def found(number: int | GreenroomError) -> None:
            self._looking -= 1
            if isinstance(number, GreenroomError):  # to take it could be to take it twice
                if reply is not None:
                    reply(number, 0)
                return
            known = replace(signal, known=number)
            # This supervisor may have left meanwhile, with a session that was closed.
            route = self._services.directory.route
            route(self.state.run_id, known if reply is None else Confirmed(known, reply))

        self._services.post.look_up(self.state.run_id, signal.key, found)

    @override
    def on_crash(self, error: BaseException) -> None:
        """Park this run after a fault of the engine itself, and no other run.

        The state may hold half of a decision, so the run is read anew from its journal once the appends under way are
        committed. Events that have lingered until now are dropped: no effect was waiting for them.
        """
        logger.opt(exception=error).error("run {} stopped by a fault of the engine", self.state.run_id)
        self._unwritten.clear()
        self._faulted.append(inputs.EngineFault(_fault(error)))
        self._settle()

    # ------------------------------------------------------------ record and apply

    def _carry_out(self, decision: Decision, reply: Callable[[GreenroomError | None, int], None] | None = None) -> None:
        events, then = decision.events, decision.then
        if self.state.accounts:
            self._services.directory.ledger.note(self.state, events)
        state = self.state
        if len(state.resolutions) != self._resolutions and state.ended is None and not state.halted:
            self._resolutions = len(state.resolutions)
            self._tell_program()
        if events and not then and reply is None:
            if not self._unwritten:
                self._services.directory.linger(self._flush)
            self._unwritten.extend(events)
        elif events:
            receipt = decision.receipt
            self._append(events, then, None if reply is None else lambda error: reply(error, receipt))
            then = []
        else:
            if reply is not None:
                reply(decision.refused, decision.receipt)
            if self._pending:
                self._after.extend(then)
                then = []
        for effect in (*decision.now, *then):
            self._do(effect)
        self._settle()

    def _flush(self) -> None:
        """Write what has lingered, if it has not gone with something else already."""
        if self._unwritten and not self._left:
            self._append((), ())

    def _append(
        self,
        events: Sequence[AnyEvent],
        then: Sequence[Effect],
        accepted: Callable[[JournalError | None], None] | None = None,
    ) -> None:
        """Send events to the journal, after those that lingered. ``then`` and ``accepted`` wait for the commit."""
        events = [*self._unwritten, *events]
        self._unwritten.clear()
        changes = dict(self.state.wait_changes)  # the last word on each, whatever was said in between
        self.state.wait_changes = []
        marks: dict[tuple[MarkKind, str], int | None] = {
            (kind, name): seq for kind, name, seq in self.state.mark_changes
        }
        self.state.mark_changes = []
        self._pending += 1
        committed = partial(self._services.reactor.call, self._committed, events, then, accepted)
        self._services.journal.append(
            Append(
                run_id=self.state.run_id,
                expected=self.state.seq - len(events),
                events=events,
                row=row_of(self.state),
                timers_set=[Timer(self.state.run_id, key, due) for key, due in changes.items() if due is not None],
                timers_cleared=[key for key, due in changes.items() if due is None],
                marks_set=[Mark(self.state.run_id, *mark, seq) for mark, seq in marks.items() if seq is not None],
                marks_cleared=[mark for mark, seq in marks.items() if seq is None],
                done=committed,
            )
        )

    def _committed(
        self,
        events: Sequence[AnyEvent],
        then: Sequence[Effect],
        accepted: Callable[[JournalError | None], None] | None,
        error: JournalError | None,
    ) -> None:
        """Events are on the disk: now others may see what follows from them. Reactor's thread."""
        self._pending -= 1
        if accepted is not None:
            accepted(error)
        if self.actor_inbox.actor is None:
            return  # the orchestrator is closing; whoever opens the journal next goes on from here
        if error is not None:
            self._abandon(error)
            return
        self._services.observe(self.state.run_id, self.state.workflow, *events)
        self._services.directory.published(self.state.run_id)
        for effect in then:
            self._do(effect)
        if self._pending == 0 and self._after:
            after, self._after = self._after, []
            for effect in after:
                self._do(effect)
        self._settle()

    def _abandon(self, error: JournalError) -> None:
        """What this supervisor believes of its run is not what the disk holds: leave it to one that reads it anew."""
        if self._left:
            return
        self._leave(None)
        if isinstance(error, EventUnwritable):
            self._services.directory.route(self.state.run_id, inputs.NoWorkers(f"an event cannot be written: {error}"))
        elif not isinstance(error, SequenceConflict):
            self._services.fatal(error)

    # ------------------------------------------------------------ effects

    def _do(self, effect: Effect) -> None:  # noqa: C901, PLR0912  one line per kind of effect
        match effect:
            case do.Dispatch(key=key, attempt=attempt):
                step = self.state.steps[key]
                if step.open and not self.state.halted:
                    self._jobs.dispatch(step, attempt)
            case do.ReleaseSteps():
                self._jobs.wrote()
            case do.SendHeld(token=token):
                self._jobs.release(token)
            case do.Judge(key=key, attempt=attempt):
                self._judge(self.state.steps[key], attempt)
            case do.WithdrawStep(key=key):
                self._withdraw(key)
            case do.StartProgram():
                if not (self.state.halted or self.state.idle or self.state.ended):
                    self._program.start(self.state)
            case do.TellWritten():
                self._program.written()
            case do.EndProgram():
                self._program.end()
            case do.StartChild(key=key):
                if self.state.children[key].open:
                    self._services.directory.launch_child(self.state, key)
            case do.CancelChild(run_id=run_id, at_once=at_once):
                reason = f"run {self.state.run_id} no longer awaits it"
                self._services.directory.route(run_id, inputs.Cancel(reason, 0.0 if at_once else None, again=False))
            case do.PauseChild(key=key):
                self._tell_child(key, inputs.Pause(self.state.reason))
            case do.ResumeChild(key=key):
                self._tell_child(key, inputs.Resume(unless_parked=True))
            case do.Deliver(key=key):
                self._deliver(key)
            case do.TurnOver(event=event):
                self._jobs.turn_over()
                self._services.post.answer(self.state.run_id, event)
            case do.TellOverdrawn(run_id=run_id, reason=reason):
                self._services.directory.route(run_id, inputs.Overdrawn(reason))
            case do.Announce():
                self._services.directory.announce(self.state)
            case _:
                assert_never(effect)

    def _deliver(self, key: str) -> None:
        self._delivering.intersection_update(self.state.outgoing)
        if key in self.state.outgoing and key not in self._delivering:
            self._delivering.add(key)
            self._services.post.deliver(self.state, key)

    def _tell_child(self, key: str, message: Input) -> None:
        self._services.directory.route(self.state.children[key].run_id, message)

    def _judge(self, step: Step, attempt: int) -> None:
        def judged(evaluations: Sequence[Any]) -> None:
            del self._panels[step.key]
            tell_living(self.actor_ref, inputs.StepJudged(step.key, attempt, tuple(evaluations)))

        def stranded(happened: inputs.NoWorkers) -> None:
            self._panels.pop(step.key, None)
            tell_living(self.actor_ref, happened)

        if step.key not in self._panels:
            self._panels[step.key] = EvaluationJobs(self._services, self.state, step, judged, stranded)

    def _withdraw(self, key: str) -> None:
        if (panel := self._panels.pop(key, None)) is not None:
            panel.withdraw()
        self._jobs.withdraw(key)

    # ------------------------------------------------------------ waiting and leaving

    def _settle(self) -> None:
        """Set the alarm for the next wake-up; leave where there is nothing else to wait for."""
        if self._left:
            return
        if self._faulted or self.state.ended is not None:
            if self._pending == 0 and not self._unwritten and (self._faulted or not self.state.outgoing):
                self._leave(None)
            return
        state = self.state
        due = self._next_due() if state.timers or state.retries or state.cancel_due is not None else None
        if self._pending or self._unwritten or self.working or self.actor_inbox.messages:
            self._quiet_since = None
        elif self._may_passivate(due):
            self._leave(self._next_wake(due))
            return
        if state.budget is not None:
            due = self._next_wake(due)
        if self._alarm is not None and self._alarm[0] != due:
            self._alarm[1].cancel()
            self._alarm = None
        if due is not None and self._alarm is None:
            self._alarm = (due, self._services.call_at(due, self._ring))

    def _ring(self) -> None:
        self._alarm = None
        self._look()

    def _look(self) -> None:
        if not (self._left or self.actor_stopped.is_set()):
            self.actor_ref.tell(inputs.Tick())

    def _next_due(self) -> float | None:
        state = self.state
        due = state.cancel_due
        if not state.halted and (state.timers or state.retries):
            dues = list(state.timers.values())
            if not state.holding:
                dues += [due for key, due in state.retries.items() if key not in self._jobs]
            due = min(dues if due is None else [*dues, due], default=None)
        return due

    def _next_wake(self, due: float | None) -> float | None:
        """Give when the run has to be here at the latest: when something is due, or the time of its budget is over."""
        state = self.state
        if state.halted or state.cancel_requested is not None:
            return due
        deadline = wall(state)
        return deadline if due is None else due if deadline is None else min(due, deadline)

    @property
    def program_worker(self) -> str | None:
        """The worker that has the program."""
        return self._program.worker

    @property
    def working(self) -> bool:
        """Whether anything of the run is under way: in a worker, on its way to the disk or to another run."""
        on_their_way = self._pending or self._unwritten or self._looking or self.state.outgoing
        return bool(on_their_way or self._jobs or self._panels or self._program.busy)

    def _may_passivate(self, due: float | None) -> bool:
        """Whether a run of which nothing is under way waits for a far moment, its children, a message, or a person."""
        if due is not None and due - self._services.clock() <= PASSIVATE_AFTER:
            return False
        far = self.state.halted is not None or due is not None
        if far:
            self._doze()
        asleep = self.state.idle or bool(self.state.receives or self.state.questions)
        rests = far or asleep or any(child.open for child in self.state.children.values())
        patience = DOZE if far else SESSION_PATIENCE if self.state.idle else CHILD_PATIENCE
        return self._patient(patience) and rests

    def _patient(self, patience: float) -> bool:
        """Whether the run has been quiet for so many seconds; where it has not, look again once it may have been.

        These are real seconds: to read a run anew, and to replay its program, takes real time.
        """
        now = self.reactor.loop.time()
        if self._quiet_since is None:
            self._quiet_since = now
        left = self._quiet_since + patience - now
        if left > 0 and not self._looks_later:
            self._looks_later = True
            self.reactor.loop.call_later(left, self._look_later)
        return left <= 0

    def _look_later(self) -> None:
        self._looks_later = False
        self._look()

    @property
    def dozing(self) -> bool:
        """Whether the run waits in memory without its program."""
        return self._dozes

    def _doze(self) -> None:
        """Keep the state for the next message, and free the program's place: it is started again once it is told."""
        self._program.end()
        self._dozes = True
        self._told = len(self.state.resolutions)
        self._services.directory.dozing.keep(self.state.run_id, self.state.seq, self._make_room)

    def _make_room(self) -> None:
        """Leave memory, where nothing has come up since."""
        if self._dozes and not (self._left or self.working) and self.actor_inbox.empty():
            self._leave(self._next_wake(self._next_due()))

    def _tell_program(self) -> None:
        """Tell the program what it has not been told; where it is not here, have it go on if there is any."""
        if self._dozes and len(self.state.resolutions) != self._told:
            self._dozes = False
            self._services.directory.dozing.drop(self.state.run_id)
            if not self.state.idle:
                self._program.start(self.state)
        self._program.tell(self.state)

    def _leave(self, wake_at: float | None) -> None:
        self._left = True
        self._services.directory.dozing.drop(self.state.run_id)
        self._stop_work()
        self._services.directory.forget(self.state, wake_at)
        for message in self._faulted:
            self._services.directory.route(self.state.run_id, message)
        self.stop()

    def _stop_work(self) -> None:
        if self._alarm is not None:
            self._alarm[1].cancel()
            self._alarm = None
        for key in tuple(self._panels):
            self._withdraw(key)
        self._jobs.withdraw_all()
        self._program.end()


def _fault(error: BaseException) -> str:
    return "a fault of the engine: " + "".join(traceback.format_exception_only(error)).strip()
