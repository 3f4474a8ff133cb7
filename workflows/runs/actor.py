"""The actor of one run: owns the run's state, and carries out what ``decide`` says.

Each message goes through the same steps: decide, apply, record, dispatch. Events are applied at once; what others can
see of them waits for the commit. If the journal fails, everything that was not committed ends with the orchestrator.
The next orchestrator folds the same state from the committed events.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from typing_extensions import override

from greenroom.journal.interface import Append
from greenroom.messages.core.errors import EventUnwritable, GreenroomError, JournalError, SequenceConflict
from greenroom.messages.events.events import AnyEvent
from greenroom.messages.records.evaluation import Evaluation
from greenroom.supervision.loop.actor import tell_living
from greenroom.supervision.loop.clock import Alarm
from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions import inputs
from greenroom.workflows.decisions.decide import decide
from greenroom.workflows.decisions.decision import Decision
from greenroom.workflows.decisions.effects import Effect
from greenroom.workflows.decisions.inputs import Confirmed, Input
from greenroom.workflows.event_sourced.actor import Committed, EventSourcedActor, fault_of
from greenroom.workflows.runs.append import append_of, with_unheard
from greenroom.workflows.runs.budget_accounts import settles
from greenroom.workflows.runs.dependencies import RunDependencies
from greenroom.workflows.runs.jobs.evaluations import EvaluationJobs
from greenroom.workflows.runs.jobs.judge_calls import JudgeCalls
from greenroom.workflows.runs.jobs.program import ProgramJob, WaitingDecisions
from greenroom.workflows.runs.jobs.questions import question_of
from greenroom.workflows.runs.jobs.steps import StepJobs
from greenroom.workflows.state.budgets import wall
from greenroom.workflows.state.run_state import RunState, Step

PASSIVATE_AFTER: Final = 30.0
"""Seconds: a run that waits only for a time further away than this leaves memory until then."""
CHILD_PATIENCE: Final = 1.0
"""Seconds that a run which waits only for its children stays in memory. Parents that kept their places in the program
workers for longer could keep their own children from starting."""
DOZE: Final = 2.0
"""Seconds that a run which waits for a far time, or for a person, stays in memory without its program, if there is room
(see ``ResidentRuns``). The next of many messages finds it there."""
SESSION_PATIENCE: Final = 0.1
"""Seconds that a session stays in memory after its newest turn: the next message of a burst finds it there. Reading a
session takes about a millisecond, and thousands that got one message each should not all be in memory at once."""


class RunActor(EventSourcedActor[Effect]):
    """One run. Lives on the reactor while the run has something to do.

    Its messages are the values of ``workflows.decisions.inputs``. ``start`` is called with the fold of the journal;
    ``first`` are the newest events of it that are not in the journal yet.
    """

    def __init__(
        self,
        dependencies: RunDependencies,
        state: RunState,
        *,
        first: Sequence[AnyEvent] = (),
        then: Sequence[Effect] = (),
        accepted: Committed | None = None,
    ) -> None:
        """Take over a run. ``then`` and ``accepted`` wait for the commit of ``first``."""
        super().__init__(dependencies, f"run {state.run_id}")
        self._dependencies = dependencies
        self.state = state
        self._unwritten: list[AnyEvent] = []
        """Events without effects; they go with the next append, or when the registry calls ``_flush``."""
        report: Callable[[Input], None] = partial(tell_living, self.actor_ref)
        self._steps = StepJobs(dependencies, state, report)
        self._evaluations: dict[str, EvaluationJobs[JudgeCalls]] = {}
        self._program = ProgramJob(dependencies, state.run_id, report)
        self._decisions = WaitingDecisions(state, self._program)
        self._alarm: tuple[float, Alarm] | None = None
        self._faulted: list[Input | Confirmed] = []
        """After a fault of the engine: that fault, and later messages, for the actor that reads the run again."""
        self._lookups = 0
        """Messages whose keys are being looked up."""
        self._delivering: set[str] = set()
        """Messages from the program that are on their way."""
        self._quiet_since: float | None = None
        """Loop time since which nothing of the run has been under way here."""
        self._looks_later = False
        """Whether a timer is set that looks if the run has been quiet for long enough."""
        self._dozes = False
        """Whether the run stays in memory without its program, in case another message comes."""
        self._told = 0
        """Number of outcomes that the program knew when the run began to doze."""
        self._marked = dependencies.registry.is_unheard(state.run_id)
        """Whether the run has the mark ``UNHEARD`` once its appends are committed."""
        self._resolutions = 0
        """Number of outcomes when the program was last told of new ones."""
        if first:
            self._record(first, then, accepted)

    def __repr__(self) -> str:
        """Return the run's status."""
        return f"<RunActor of {self.state.run_id}: {self.state.status}, {self.state.seq} events>"

    @override
    def on_receive(self, message: Input | Confirmed) -> None:
        """Take one message through its life."""
        if self._left:  # it came between the decision to leave and the end of the actor
            self._dependencies.registry.route(self.state.run_id, message)
            return
        if self._faulted:
            self._faulted.append(message)
            return
        reply: Callable[[GreenroomError | None, int], None] | None = None
        if not isinstance(message, Confirmed):
            happened = message
        elif isinstance(message.happened, inputs.Decide):
            self._decisions.add(message)
            self._take_decisions()
            return
        else:
            happened, reply = message.happened, message.reply
        if isinstance(happened, inputs.Signal) and self._must_look_up(happened):
            self._look_up(happened, reply)
            return
        if self._steps.unreported:
            if isinstance(happened, inputs.StepAnswered):
                happened = self._steps.with_assigned(happened)
            else:
                for assigned in self._steps.take_assigned():
                    self._take(assigned)
        self._take(happened, reply)
        if self._decisions.waiting:
            self._take_decisions()

    def _take_decisions(self) -> None:
        """Take the decisions of people that need not wait for the program."""
        while not self._left:
            unread = any(isinstance(message, inputs.ProgramTurn) for message, _ in self.actor_inbox.messages)
            if (decision := self._decisions.take(unread=unread, dozes=self._dozes)) is None:
                return
            for assigned in self._steps.take_assigned():
                self._take(assigned)
            self._take(decision.happened, decision.reply)

    def _take(self, happened: Input, reply: Callable[[GreenroomError | None, int], None] | None = None) -> None:
        """Decide about an input, and carry out the decision."""
        now, accounts = self._dependencies.clock(), self._dependencies.registry.budgets
        over = None
        if self.state.accounts or accounts.shared:
            over = accounts.overdraft(self.state, now, cleans_up=not isinstance(happened, inputs.RatingDue))
        try:
            decision = decide(self.state, happened, now, self._dependencies.random(), over)
        except BaseException as error:
            if reply is not None:
                reply(JournalError(fault_of(error)), 0)
            raise
        self._carry_out(decision, reply)

    def _must_look_up(self, signal: inputs.Signal) -> bool:
        """Return whether only the journal knows if a message came before: a session does not keep all of its keys."""
        key = signal.key
        unknown = key is not None and signal.known is None and key not in self.state.message_keys
        return unknown and self.state.session is not None and self.state.turns > 0

    def _look_up(self, signal: inputs.Signal, reply: Callable[[GreenroomError | None, int], None] | None) -> None:
        assert signal.key is not None
        self._lookups += 1

        def found(number: int | GreenroomError) -> None:
            self._lookups -= 1
            if isinstance(number, GreenroomError):  # accepting the message could accept it twice
                if reply is not None:
                    reply(number, 0)
                return
            known = replace(signal, known=number)
            # The session may have been closed meanwhile, and this actor may have left.
            route = self._dependencies.registry.route
            route(self.state.run_id, known if reply is None else Confirmed(known, reply))

        self._dependencies.router.look_up(self.state.run_id, signal.key, found)

    @override
    def _halt(self, reason: str) -> None:
        """Have the run read again and parked.

        The state may hold half of a decision, so another actor reads the journal once the pending appends are
        committed. Events without effects that were not appended are dropped: nothing waited for them.
        """
        self._unwritten.clear()
        self._faulted.append(inputs.EngineFault(reason))
        self._settle()

    # ------------------------------------------------------------ record and apply

    def _carry_out(self, decision: Decision, reply: Callable[[GreenroomError | None, int], None] | None = None) -> None:
        events, then = decision.events, decision.then
        settles_now = False
        if self.state.accounts or self._dependencies.registry.budgets.shared:
            self._dependencies.registry.budgets.note(self.state, events)
            settles_now = settles(events)
        state = self.state
        if (outcomes := len(state.resolutions)) != self._resolutions and state.ended is None and not state.halted:
            self._resolutions = outcomes
            self._tell_program()
        if events and not (then or settles_now) and reply is None:
            if not self._unwritten:
                self._dependencies.registry.linger(self._flush)
            self._unwritten.extend(events)
        elif events:
            receipt = decision.receipt
            self._write(events, then, None if reply is None else lambda error: reply(error, receipt))
            then = []
        elif reply is not None:
            reply(decision.refused, decision.receipt)
        for effect in decision.now:
            self._do(effect)
        if then:
            self._follow(then)
        self._settle()

    def _flush(self) -> None:
        """Append the events without effects, if they have not gone with others."""
        if self._unwritten and not self._left:
            self._write((), ())

    def _write(self, events: Sequence[AnyEvent], then: Sequence[Effect], accepted: Committed | None = None) -> None:
        """Append events after those without effects. ``then`` and ``accepted`` wait for the commit."""
        unwritten, self._unwritten = self._unwritten, []
        self._record([*unwritten, *events], then, accepted)

    @override
    def _append_of(self, events: Sequence[AnyEvent], effects: Sequence[Effect], done: Committed) -> Append:
        append = append_of(self.state, events, done)
        # A run that goes on is read anyway, so its mark may stay until it waits again or ends.
        marked = self._unheard(effects) if append.row.status == "waiting" else self._marked and self.state.ended is None
        if marked is not self._marked:
            self._marked = marked
            self._dependencies.registry.note_unheard(self.state.run_id, marked)
            append = with_unheard(append, unheard=marked)
        return append

    def _unheard(self, effects: Sequence[Effect]) -> bool:
        """Return whether the program may have more to do than has been recorded, about the outcomes or this commit."""
        state = self.state
        if state.idle or self._dozes:
            return False
        if not self._program.has_heard(state) or do.TellWritten() in effects:
            return True
        return any(isinstance(message, inputs.ProgramTurn) for message, _ in self.actor_inbox.messages)

    @override
    def _publish(self, events: Sequence[AnyEvent]) -> None:
        self._dependencies.observe(self.state.run_id, self.state.workflow, *events)
        self._dependencies.registry.published(self.state.run_id)

    @override
    def _hand_over(self, error: JournalError) -> bool:
        if isinstance(error, EventUnwritable):
            self._dependencies.registry.route(
                self.state.run_id, inputs.NoWorkers(f"an event cannot be written: {error}")
            )
            return True
        return isinstance(error, SequenceConflict)

    # ------------------------------------------------------------ effects

    @override
    def _do(self, effect: Effect) -> None:  # noqa: C901, PLR0912, PLR0915  one line per kind of effect
        match effect:
            case do.Dispatch(key=key, attempt=attempt):
                step = self.state.steps[key]
                if step.open and not self.state.halted:
                    self._steps.dispatch(step, attempt)
            case do.ReleaseSteps():
                self._steps.wrote()
            case do.SendHeld(token=token):
                self._steps.release(token)
            case do.Judge(key=key):
                self._judge(self.state.steps[key])
            case do.AskJudges(key=key):
                if (evaluations := self._evaluations.get(key)) is not None:
                    evaluations.ask_judges()
            case do.SendJudge(key=key, token=token):
                if (evaluations := self._evaluations.get(key)) is not None:
                    evaluations.calls.send(token)
            case do.RateAnswer(sample=sample):
                if (answer := self.state.sampled.get(sample)) is not None:
                    self._dependencies.registry.rate(self.state.run_id, sample, answer.seq)
            case do.WithdrawStep(key=key):
                self._withdraw(key)
            case do.StartProgram():
                if not (self.state.halted or self.state.idle or self.state.ended):
                    self._program.start(self.state)
            case do.ExpectWritten():
                self._program.expect_written()
            case do.TellWritten():
                self._program.written()
            case do.ConfirmEmitted(key=key):
                if (evaluations := self._evaluations.get(key)) is not None:
                    evaluations.emitted_written()
                self._steps.emitted_written(key)
            case do.EndProgram():
                self._program.end()
            case do.StartChild(key=key):
                if self.state.children[key].open:
                    self._dependencies.registry.start_child(self.state, key)
            case do.CancelChild(run_id=run_id, at_once=at_once):
                reason = f"run {self.state.run_id} no longer awaits it"
                self._dependencies.registry.call_off(run_id)
                self._dependencies.registry.route(run_id, inputs.Cancel(reason, 0.0 if at_once else None, again=False))
            case do.PauseChild(key=key, again=again):
                since = self.state.halted_at if again else None
                self._tell_child(key, inputs.Pause(self.state.reason, with_parent=True, unless_resumed_since=since))
            case do.ResumeChild(key=key, again=again):
                self._tell_child(key, inputs.Resume(unless_parked=True, only_with_parent=again))
            case do.Deliver(key=key):
                self._deliver(key)
            case do.TurnOver(event=event):
                self._steps.turn_over()
                self._dependencies.router.answer(self.state.run_id, event)
            case do.TellOverdrawn(run_id=run_id, reason=reason):
                self._dependencies.registry.route(run_id, inputs.Overdrawn(reason))
            case do.TellRefused(run_id=run_id, reason=reason, since=since):
                self._dependencies.registry.route(run_id, inputs.ChildRefused(reason, since))
            case do.Announce():
                self._dependencies.registry.announce(self.state)
            case _:
                assert_never(effect)

    def _deliver(self, key: str) -> None:
        self._delivering.intersection_update(self.state.outgoing)
        if key in self.state.outgoing and key not in self._delivering:
            self._delivering.add(key)
            self._dependencies.router.deliver(self.state, key)

    def _tell_child(self, key: str, message: Input) -> None:
        self._dependencies.registry.route(self.state.children[key].run_id, message)

    def _judge(self, step: Step) -> None:
        if step.key in self._evaluations:
            return
        attempt, report = len(step.attempts), partial(tell_living, self.actor_ref)
        calls = JudgeCalls(self._dependencies, self.state, step, report)

        def judged(evaluations: Sequence[Evaluation], unpaid: str) -> None:
            del self._evaluations[step.key]
            report(inputs.StepJudged(step.key, attempt, tuple(evaluations), calls.settled, unpaid))

        def judges_due() -> None:
            report(inputs.JudgesDue(step.key))

        def stranded(happened: inputs.NoWorkers) -> None:
            self._evaluations.pop(step.key, None)
            report(happened)

        question = question_of(self.state, step)
        jobs = EvaluationJobs(self._dependencies, question, calls, judged, judges_due, stranded, report)
        self._evaluations[step.key] = jobs
        jobs.begin()

    def _withdraw(self, key: str) -> None:
        if (evaluations := self._evaluations.pop(key, None)) is not None:
            evaluations.withdraw()
        self._steps.withdraw(key)

    # ------------------------------------------------------------ waiting and leaving

    @override
    def _settle(self) -> None:
        if self._left:
            return
        if self._faulted or self.state.ended is not None:
            if self._pending == 0 and not self._unwritten and (self._faulted or not self._stays_after_end()):
                self._leave()
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
            self._alarm = (due, self._dependencies.call_at(due, self._ring))

    def _stays_after_end(self) -> bool:
        """Return whether the run stays in memory although it has ended: for its messages, or for scores of its answers.

        Without the latter, a long run would be read again for each of them.
        """
        state = self.state
        if state.outgoing or not state.sampled:
            return bool(state.outgoing)
        stays = self._dependencies.registry.keep_for_ratings(state, self._make_room)
        if stays:
            self._stop_work()
        return stays

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
                dues += [due for key, due in state.retries.items() if key not in self._steps]
            due = min(dues if due is None else [*dues, due], default=None)
        return due

    def _next_wake(self, due: float | None) -> float | None:
        """Return when the run must be in memory: at ``due``, or when the time of its budget is over."""
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
    @override
    def working(self) -> bool:
        """Whether the run has work in a worker, or something on its way to the journal or to another run."""
        on_their_way = self._pending or self._unwritten or self._lookups or self.state.outgoing
        return bool(on_their_way or self._steps or self._evaluations or self._program.busy)

    @property
    @override
    def moving(self) -> bool:
        """Whether something will happen to it before the next alarm. Attempts that limits hold back only wait."""
        on_their_way = self._pending or self._unwritten or self._lookups or self.state.outgoing
        judging = any(evaluations.moving for evaluations in self._evaluations.values())
        return bool(on_their_way or self._steps.moving or judging or self._program.busy)

    def _may_passivate(self, due: float | None) -> bool:
        """Return whether an idle run waits for a far time, its children, a message, or a person, and may leave."""
        if due is not None and due - self._dependencies.clock() <= PASSIVATE_AFTER:
            return False
        far = self.state.halted is not None or due is not None
        if far:
            self._doze()
        asleep = self.state.idle or bool(self.state.receives or self.state.questions)
        rests = far or asleep or any(child.open for child in self.state.children.values())
        patience = DOZE if far else SESSION_PATIENCE if self.state.idle else CHILD_PATIENCE
        return self._patient(patience) and rests

    def _patient(self, patience: float) -> bool:
        """Return whether the run has been quiet for so many seconds; if not, look again when it may have been.

        These are real seconds, not those of a virtual clock: reading a run and replaying its program take real time.
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
        """Whether the run stays in memory without its program."""
        return self._dozes

    def _doze(self) -> None:
        """Keep the state for the next message, and end the program; it is started again when it has to be told."""
        self._program.end()
        self._dozes = True
        self._told = len(self.state.resolutions)
        self._dependencies.registry.resident.keep(self.state.run_id, self.state.seq, self._make_room)

    def _make_room(self) -> None:
        """Leave memory, unless something has come up since."""
        if self.state.ended is not None:
            if not (self._left or self._pending or self._unwritten):
                self._leave()
        elif self._dozes and not (self._left or self.working) and self.actor_inbox.empty():
            self._leave(self._next_wake(self._next_due()))

    def _tell_program(self) -> None:
        """Send the program its new outcomes; start the program of a run that dozes."""
        if self._dozes and len(self.state.resolutions) != self._told:
            self._dozes = False
            self._dependencies.registry.resident.drop(self.state.run_id)
            if not self.state.idle:
                self._program.start(self.state)
        self._program.tell(self.state)

    @override
    def _leave(self, wake_at: float | None = None) -> None:
        self._left = True
        self._dependencies.registry.resident.drop(self.state.run_id)
        self._stop_work()
        self._dependencies.registry.forget(self.state, wake_at)
        for message in (*self._faulted, *self._decisions.leave()):
            self._dependencies.registry.route(self.state.run_id, message)
        super()._leave()

    def _stop_work(self) -> None:
        if self._alarm is not None:
            self._alarm[1].cancel()
            self._alarm = None
        for key in tuple(self._evaluations):
            self._withdraw(key)
        self._steps.withdraw_all()
        self._program.end()
